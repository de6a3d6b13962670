// How every program of tidegate turns arguments into an exit code.
import { CommanderError, type Command } from 'commander'
import { describeError, exitCodeOf, exitCodes } from './errors.ts'

/**
 * Parses process.argv and runs the command; an error is printed on stderr, with its stack when the program's option
 * --debug is given, and sets the exit code. Wrong arguments end with 2, not with commander's 1.
 */
export async function runProgram(program: Command): Promise<void> {
  throwInsteadOfExit(program)
  try {
    await program.parseAsync()
  } catch (error) {
    // Commander has said what was wrong; help and version are no error.
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? exitCodes.ok : exitCodes.usage
    else {
      process.stderr.write(`${describeError(error, { debug: program.opts<{ debug?: true }>().debug === true })}\n`)
      process.exitCode = exitCodeOf(error)
    }
  }
}

function throwInsteadOfExit(command: Command): void {
  command.exitOverride()
  for (const child of command.commands) throwInsteadOfExit(child)
}
