#!/usr/bin/env node
// tidegate-gateway: arguments to command to exit code, nothing else.
import { Command } from 'commander'
import { auditCommand } from './commands/audit.ts'
import { checkConfigCommand } from './commands/check-config.ts'
import { devicesCommand } from './commands/devices.ts'
import { ledgerCommand } from './commands/ledger.ts'
import { decisionCommand, queriesCommand } from './commands/queries.ts'
import { queryCommand } from './commands/query.ts'
import { runCommand } from './commands/run.ts'
import { statusCommand } from './commands/status.ts'
import { runProgram } from '../lib/run-program.ts'

const program = new Command('tidegate-gateway')
  .description('Keeps what the devices of a site say, answers questions about them, and brings it to the centre.')
  .version(process.env['TIDEGATE_VERSION'] ?? 'unbuilt')
  .option('--debug', 'show the stack of an error')
  .showHelpAfterError('(--help shows the commands)')

for (const command of [
  runCommand(),
  statusCommand(),
  queryCommand(),
  queriesCommand(),
  decisionCommand('allow'),
  decisionCommand('veto'),
  devicesCommand(),
  ledgerCommand(),
  auditCommand(),
  checkConfigCommand(),
]) {
  program.addCommand(command)
}

await runProgram(program)
