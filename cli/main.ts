#!/usr/bin/env node
// tidegate: arguments to command to exit code, nothing else.
import { Command, CommanderError } from 'commander'
import { describeError, exitCodeOf, exitCodes } from '../lib/errors.ts'
import { certsCommand } from './commands/certs.ts'
import { demoCommand } from './commands/demo.ts'
import { hostsCommand } from './commands/hosts.ts'
import { loginCommand } from './commands/login.ts'
import { queriesCommand } from './commands/queries.ts'
import { queryCommand } from './commands/query.ts'
import { resultsCommand } from './commands/results.ts'
import { sitesCommand } from './commands/sites.ts'

const program = new Command('tidegate')
  .description('ask every computer of isolated sites what runs on it')
  .version(process.env['TIDEGATE_VERSION'] ?? 'development')
  .option('--debug', 'print the stack of an error')
  .addHelpText(
    'after',
    '\nExit codes: 0 ok, 1 failed, 2 usage, 3 configuration, 4 peer unreachable, 5 storage, 6 certificate',
  )
for (const command of [
  sitesCommand(),
  hostsCommand(),
  queryCommand(),
  queriesCommand(),
  resultsCommand(),
  loginCommand(),
  certsCommand(),
  demoCommand(),
]) {
  program.addCommand(command)
}
exitOnUsage(program)

// `tidegate … | head` is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(exitCodes.ok)
  throw error
})

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
