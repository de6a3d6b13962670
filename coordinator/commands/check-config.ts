// `check-config`: reads the configuration and every file that it names, and starts nothing.
import { Command } from 'commander'
import { createLog } from '../../lib/log.ts'
import { loadCoordinatorConfig } from '../config.ts'
import { defaultConfig, type ConfigOption } from './context.ts'
import { loadSecrets } from './run.ts'

export function checkConfigCommand(): Command {
  return new Command('check-config')
    .description('check the configuration and the files that it names')
    .option('--config <file>', 'configuration', defaultConfig)
    .action(async (options: ConfigOption) => {
      const config = loadCoordinatorConfig(options.config)
      await loadSecrets(config, createLog('tidegate-coordinator', 'silent'))
      process.stdout.write(`${options.config}: good\n`)
    })
}
