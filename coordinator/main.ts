#!/usr/bin/env node
// tidegate-coordinator: arguments to command to exit code, nothing else.
import { Command } from 'commander'
import { auditCommand } from './commands/audit.ts'
import { checkConfigCommand } from './commands/check-config.ts'
import { runCommand } from './commands/run.ts'
import { siteCommand } from './commands/site.ts'
import { tokenCommand } from './commands/token.ts'
import { runProgram } from '../lib/run-program.ts'

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
await runProgram(program)
