#!/usr/bin/env node
// tidegate: arguments to command to exit code, nothing else.
import { Command } from 'commander'
import { exitCodes } from '../lib/errors.ts'
import { certsCommand } from './commands/certs.ts'
import { demoCommand } from './commands/demo.ts'
import { hostsCommand } from './commands/hosts.ts'
import { loginCommand } from './commands/login.ts'
import { queriesCommand } from './commands/queries.ts'
import { queryCommand } from './commands/query.ts'
import { resultsCommand } from './commands/results.ts'
import { sitesCommand } from './commands/sites.ts'
import { runProgram } from '../lib/run-program.ts'

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
// `tidegate … | head` is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(exitCodes.ok)
  throw error
})

await runProgram(program)
