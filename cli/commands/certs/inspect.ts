// `tidegate certs inspect`: what is wrong with certificate files, and how to mend it.
import { isIP } from 'node:net'
import { Command, Option } from 'commander'
import { inspectPath } from '../../../certs/inspect-path.ts'
import type { InspectedFile } from '../../../certs/inspect-path.ts'
import { roles } from '../../../certs/roles.ts'
import type { Role } from '../../../certs/roles.ts'
import { exitCodes } from '../../../lib/errors.ts'
import { collectOptional, examples, parseTime, print, printJson } from './shared.ts'

interface InspectOptions {
  for?: string
  role?: Role
  ca?: string[]
  crl?: string[]
  key?: string
  at?: number
  json?: boolean
}

export function inspectCommand(): Command {
  return new Command('inspect')
    .description('say in words what is wrong with certificate files and how to mend it')
    .argument('<path...>', 'files, or folders with everything below them')
    .option('--for <host>', 'name or address that peers dial')
    .addOption(new Option('--role <role>', 'what the certificate should be for').choices(roles))
    .option(
      '--ca <file>',
      'CA certificates to check against, instead of those near the file; may be repeated',
      collectOptional,
    )
    .option('--crl <file>', 'revocation lists, instead of those near the file; may be repeated', collectOptional)
    .option('--key <file>', 'private key of the certificate, instead of the one beside it')
    .addOption(new Option('--at <time>', 'pretend that it is this time (ISO 8601)').argParser(parseTime))
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      examples(
        'Ends with exit code 6 when anything is wrong.',
        'tidegate certs inspect pki',
        'tidegate certs inspect /etc/tidegate/cert.pem --role device',
        'tidegate certs inspect gateway/cert.pem --for gateway.plant-a.example --ca root.pem',
      ),
    )
    .action(async (paths: string[], options: InspectOptions) => {
      const wish = {
        nowMs: options.at ?? Date.now(),
        ...(options.for === undefined
          ? {}
          : {
              dialled: options.for.replace(/^\[(.*)\]$/, (whole, inner: string) => (isIP(inner) === 6 ? inner : whole)),
            }),
        ...(options.role === undefined ? {} : { role: options.role }),
        ...(options.ca === undefined ? {} : { ca: options.ca }),
        ...(options.crl === undefined ? {} : { crl: options.crl }),
        ...(options.key === undefined ? {} : { key: options.key }),
      }
      const inspected: InspectedFile[] = []
      for (const path of paths) inspected.push(...(await inspectPath(path, wish)))
      if (options.json === true) printJson(inspected)
      else for (const file of inspected) printInspected(file)
      if (inspected.some(hasError)) process.exitCode = exitCodes.certificate
    })
}

const hasError = ({ findings }: InspectedFile) => findings.some(({ severity }) => severity === 'error')

/** Certificates come from anywhere: what they say about themselves is shown, never obeyed, by the terminal. */
function printInspected({ path, facts, findings }: InspectedFile): void {
  print(`${path}: ${findings.some(({ severity }) => severity !== 'note') ? 'not in order' : 'in order'}`)
  for (const fact of facts) print(`  ${fact}`)
  for (const { code, severity, message, hint } of findings) {
    print(`  ${severity}: ${message} (${code})`)
    print(`    try: ${hint.replaceAll('FILE', path)}`)
  }
}
