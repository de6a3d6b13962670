// tidegate-gateway check-config: the whole configuration and every file it names, without starting anything.
import { Command } from 'commander'
import { loadGatewayConfig } from '../config.ts'
import { readGatewayFiles } from '../files.ts'
import { configOption } from './options.ts'
import { print } from './output.ts'

export function checkConfigCommand(): Command {
  return new Command('check-config')
    .description('Check the configuration and the certificates and keys it names. Exit 3 or 6 when something is wrong.')
    .addOption(configOption())
    .action(async ({ config }: { config: string }) => {
      const loaded = loadGatewayConfig(config)
      await readGatewayFiles(loaded)
      await print(`${config}: ok, site ${loaded.site}\n`)
    })
}
