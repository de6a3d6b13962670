#!/usr/bin/env node
// tidegate-coordinator: arguments to command to exit code, nothing else.
import { Command, CommanderError } from 'commander'
import { describeError, exitCodeOf, exitCodes } from '../lib/errors.ts'
import { auditCommand } from './commands/audit.ts'
import { checkConfigCommand } from './commands/check-config.ts'
import { runCommand } from './commands/run.ts'
import { siteCommand } from './commands/site.ts'
import { tokenCommand } from './commands/token.ts'

const program = new Command('tidegate-coordinator')
  .description('the centre: receives what sites have to tell, asks their devices questions, answers people')
  .version(process.env['TIDEGATE_VERSION'] ?? 'development')
  .option('--debug', 'print the stack of an error')
  .addHelpText(
    'after',
    '\nExit codes: 0 ok, 1 failed, 2 usage, 3 configuration, 4 peer unreachable, 5 storage, 6 certificate',
  )
for (const command of [runCommand(), siteCommand(), tokenCommand(), checkConfigCommand(), auditCommand()]) {
  program.addCommand(command)
}
exitOnUsage(program)

try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? exitCodes.ok : exitCodes.usage
  else {
    process.stderr.write(`${describeError(error, { debug: program.opts<{ debug?: true }>().debug === true })}\n`)
    process.exitCode = exitCodeOf(error)
  }
}

/** Wrong arguments end with exit 2 as everywhere in tidegate, not with commander's 1. */
function exitOnUsage(command: Command): void {
  command.exitOverride()
  for (const child of command.commands) exitOnUsage(child)
}
