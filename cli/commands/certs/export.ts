// `tidegate certs export`: what leaves the PKI directory for a machine or a browser.
import { randomInt } from 'node:crypto'
import { Command, Option } from 'commander'
import { exportBundle, exportPem, exportPkcs12 } from '../../../certs/export.ts'
import type { Exported, Subject } from '../../../certs/export.ts'
import { readBounded } from '../../../certs/files.ts'
import { examples, onPki, print, printJson, requireSite, usage } from './shared.ts'
import type { PkiOptions } from './shared.ts'

interface ExportOptions extends PkiOptions {
  site?: string
  role: Subject['role']
  bundle?: string
  pem?: string
  p12?: string
  passwordFile?: string
  legacy?: boolean
  force?: boolean
}

export function exportCommand(): Command {
  return onPki(
    new Command('export').description('hand out what a device, a gateway, the coordinator or a browser needs'),
  )
    .argument('[device]', 'device id')
    .option('--site <site>', 'site of the device or gateway')
    .addOption(
      new Option('--role <role>', 'whose files').choices(['device', 'gateway', 'coordinator']).default('device'),
    )
    .option(
      '--bundle <folder>',
      'a folder with certificate, key, trust and signing keys, ready to be copied to the machine',
    )
    .addOption(
      new Option('--pem <file>', 'one file with key, certificate and intermediate').conflicts(['bundle', 'p12']),
    )
    .addOption(new Option('--p12 <file>', 'one PKCS#12 file, for a browser').conflicts(['bundle']))
    .option(
      '--password-file <file>',
      'password of the PKCS#12 file (its first line); left out, one is made and printed',
    )
    .option('--legacy', 'protect the PKCS#12 file as old Windows and the macOS keychain need it (3DES)')
    .option('--force', 'replace what is there')
    .addHelpText(
      'after',
      examples(
        'A gateway or coordinator bundle is a part of the PKI directory; every command works on it with --pki.',
        'tidegate certs export --site plant-a press-07 --bundle ./press-07',
        'tidegate certs export --site plant-a --role gateway --bundle ./plant-a-gateway',
        'tidegate certs export --site plant-a engineer-kim --p12 kim.p12',
      ),
    )
    .action(async (device: string | undefined, options: ExportOptions) => {
      const target = { pki: options.pki, subject: subjectToExport(device, options), force: options.force === true }
      if (options.bundle !== undefined)
        return printExported(await exportBundle({ ...target, to: options.bundle }), options)
      if (options.pem !== undefined) return printExported(await exportPem({ ...target, to: options.pem }), options)
      if (options.p12 === undefined) throw usage('export to what?', 'give --bundle FOLDER, --pem FILE or --p12 FILE')
      const given = options.passwordFile === undefined ? undefined : firstLine(await readBounded(options.passwordFile))
      const password = given ?? randomPassword()
      const exported = await exportPkcs12({
        ...target,
        to: options.p12,
        password,
        protection: options.legacy === true ? 'legacy' : 'modern',
      })
      printExported(exported, options, given === undefined ? password : undefined)
    })
}

function subjectToExport(device: string | undefined, { role, site }: ExportOptions): Subject {
  if (role === 'coordinator') return { role }
  if (role === 'gateway') return { role, site: requireSite(site) }
  if (device === undefined) throw usage('which device?', 'give its id, or --role gateway or coordinator')
  return { role, site: requireSite(site), device }
}

function printExported({ files, missing }: Exported, { json }: PkiOptions, password?: string): void {
  if (json === true) return printJson({ files, missing, ...(password === undefined ? {} : { password }) })
  for (const file of files) print(file)
  if (password !== undefined) print(`password: ${password}`)
  for (const name of missing)
    console.error(`note: ${name} is not in this PKI directory; the receiver brings its own or gets it another way`)
}

const firstLine = (bytes: Buffer) => bytes.toString('utf8').split(/\r?\n/)[0] ?? ''

/** 100 bits in four groups of letters and digits that are not mistaken for each other when typed from paper. */
function randomPassword(): string {
  const letters = 'abcdefghjkmnpqrstuvwxyz23456789'
  const group = () => Array.from({ length: 5 }, () => letters[randomInt(letters.length)]).join('')
  return [group(), group(), group(), group()].join('-')
}
