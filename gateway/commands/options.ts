// Options that several commands share.
import { Command, InvalidArgumentError, Option } from 'commander'

export interface CommonFlags {
  config: string
  json?: true
}

const defaultConfig = '/etc/tidegate/gateway.yaml'

/** A command that speaks to the running gateway. */
export function adminCommand(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .addOption(configOption())
    .option('--json', 'print JSON instead of a table')
}

export function configOption(): Option {
  return new Option('-c, --config <file>', 'the configuration').default(defaultConfig).env('TIDEGATE_GATEWAY_CONFIG')
}

export function parseCount(text: string): number {
  const count = Number(text)
  if (!Number.isInteger(count) || count < 1) throw new InvalidArgumentError('give a whole number above 0')
  return count
}

/** Who decides, for the audit log: the person behind sudo where there is one. */
export function currentUser(): string {
  return process.env['SUDO_USER'] ?? process.env['USER'] ?? process.env['LOGNAME'] ?? `uid ${process.getuid?.() ?? '?'}`
}
