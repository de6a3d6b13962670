#!/usr/bin/env node
// tidegate-agent: arguments to command to exit code, nothing else.
import { Command } from 'commander'
import { checkConfigCommand } from './commands/check-config.ts'
import { queryCommand } from './commands/query.ts'
import { runCommand } from './commands/run.ts'
import { schemaCommand } from './commands/schema.ts'
import { statusCommand } from './commands/status.ts'
import { tablesCommand } from './commands/tables.ts'
import { runProgram } from '../lib/run-program.ts'

const program = new Command('tidegate-agent')
  .description('Answers SQL about this machine, and brings the answers to the gateway of its site.')
  .version(process.env['TIDEGATE_VERSION'] ?? 'unbuilt')
  .option('--debug', 'show the stack of an error')
  .showHelpAfterError('(--help shows the commands)')
  .addHelpText(
    'after',
    `
Examples:
  tidegate-agent query 'SELECT name, pid FROM processes ORDER BY resident_size DESC LIMIT 5'
  tidegate-agent query --json "SELECT sha256 FROM hash WHERE path = '/etc/hosts'"
  tidegate-agent schema processes
  tidegate-agent run --config agent.yaml

Exit codes: 0 ok, 1 failed, 2 usage, 3 configuration, 4 peer unreachable, 5 storage, 6 certificate`,
  )

const commands = [runCommand(), statusCommand(), checkConfigCommand(), queryCommand(), tablesCommand(), schemaCommand()]
for (const command of commands) {
  program.addCommand(command)
}

await runProgram(program)
