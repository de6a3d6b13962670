// tidegate-gateway run: in the foreground until SIGTERM or SIGINT. Exit 5 when a part died, so that a supervisor starts
// it again.
import { Command } from 'commander'
import type { AppError } from '../../lib/errors.ts'
import { createLog } from '../../lib/log.ts'
import { loadGatewayConfig } from '../config.ts'
import { Gateway } from '../gateway.ts'
import { configOption } from './options.ts'

/** A part that died may leave others unable to end: then the process does not wait for them. */
const stopTimeoutMs = 10_000

export function runCommand(): Command {
  return new Command('run')
    .description('Run the gateway in the foreground. SIGHUP reads devices.crl again.')
    .addOption(configOption())
    .addHelpText('after', '\nExample:\n  tidegate-gateway run --config /etc/tidegate/gateway.yaml\n')
    .action(async ({ config: path }: { config: string }) => {
      const config = loadGatewayConfig(path)
      const log = createLog('tidegate-gateway', config.log.level)
      const stopped = new Promise<undefined>((resolve) => {
        for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve(undefined))
      })
      const gateway = await Gateway.start(config, log)
      process.on('SIGHUP', () => gateway.reloadRevocations())
      const reason: AppError | undefined = await Promise.race([stopped, gateway.died])
      setTimeout(() => process.exit(reason === undefined ? 0 : 5), stopTimeoutMs).unref()
      if (reason === undefined) log.info('stopping')
      await gateway.stop().catch((error: unknown) => log.error({ err: error }, 'could not stop in order'))
      if (reason !== undefined) throw reason
    })
}
