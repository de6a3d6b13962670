// `tidegate certs …`: arguments to certs/, results to text. Works on a PKI directory alone, without any server, so that a site can issue
// and revoke while it is cut off. Data goes to stdout (--json for machines), advice to stderr; private keys are never printed.
import { Command, Option } from 'commander'
import { createRoot, createSite, issueDevice, issueServer, list, revoke } from '../../certs/authority.ts'
import type { Issued, Listed } from '../../certs/authority.ts'
import { revocationReasons } from '../../certs/ca-index.ts'
import type { IndexEntry, RevocationReason } from '../../certs/ca-index.ts'
import { crlDays } from '../../certs/crl.ts'
import { readBounded } from '../../certs/files.ts'
import { requireId, roles } from '../../certs/roles.ts'
import type { Role } from '../../certs/roles.ts'
import { dayMs, lifeDays } from '../../certs/validity.ts'
import type { ValidityWish } from '../../certs/validity.ts'
import type { LeafKeyKind } from '../../certs/x509.ts'
import { renderTable } from '../../lib/output/table.ts'
import { exportCommand } from './certs/export.ts'
import { inspectCommand } from './certs/inspect.ts'
import {
  collect,
  dateOf,
  examples,
  onPki,
  parseDays,
  parseTime,
  print,
  printJson,
  printText,
  requireSite,
  usage,
} from './certs/shared.ts'
import type { PkiOptions } from './certs/shared.ts'

/** The command group; actions throw AppError for the caller to describe. */
export function certsCommand(): Command {
  return new Command('certs')
    .description('make, issue, revoke, inspect and hand out the certificates of a deployment')
    .addHelpText(
      'after',
      examples(
        'A whole deployment, from nothing to a device ready to be flashed:',
        'tidegate certs init --name "Acme Water"',
        'tidegate certs site plant-a',
        'tidegate certs server --role coordinator --dns centre.acme.example',
        'tidegate certs server --role gateway --site plant-a --dns gateway.plant-a.example --ip 10.0.0.1',
        'tidegate certs issue --site plant-a press-07',
        'tidegate certs export --site plant-a press-07 --bundle ./press-07',
      ),
    )
    .addCommand(initCommand())
    .addCommand(siteCommand())
    .addCommand(issueCommand())
    .addCommand(serverCommand())
    .addCommand(revokeCommand())
    .addCommand(listCommand())
    .addCommand(inspectCommand())
    .addCommand(exportCommand())
}

function initCommand(): Command {
  return signing('init', 'make the root CA and the key pair with which the centre signs its commands', 'root-ca')
    .requiredOption('--name <deployment>', 'name of the deployment; it stands in every certificate')
    .addHelpText(
      'after',
      examples(
        'Afterwards move root/ca.key to a medium that is kept offline; it is needed only for sites and the coordinator.',
        'tidegate certs init --name "Acme Water"',
        'tidegate certs init --name "Acme Water" --pki /media/usb/pki --days 7300',
      ),
    )
    .action(async (options: SigningOptions & { name: string }) => {
      printIssued(await createRoot({ ...common(options), deployment: options.name }), options)
    })
}

function siteCommand(): Command {
  return signing('site', 'make the CA of a site, and the key with which the site signs what it sends', 'site-ca')
    .argument('<site>', 'site id: lower-case letters, digits and hyphens')
    .addHelpText(
      'after',
      examples('', 'tidegate certs site plant-a', 'tidegate certs site plant-a --days 1825 --pki /media/usb/pki'),
    )
    .action(async (site: string, options: SigningOptions) => {
      printIssued(await createSite({ ...common(options), site }), options)
    })
}

function issueCommand(): Command {
  return signing('issue', 'issue certificates to devices of a site', 'device')
    .argument('<device...>', 'device ids: lower-case letters, digits and hyphens')
    .requiredOption('--site <site>', 'site whose CA signs')
    .addOption(new Option('--key <kind>', 'kind of key to make').choices(['p256', 'rsa2048']).default('p256'))
    .addOption(new Option('--csr <file>', 'sign this PKCS#10 request; the device keeps its key').conflicts('key'))
    .addHelpText(
      'after',
      examples(
        'Replacing a certificate with --force does not revoke the earlier one.',
        'tidegate certs issue --site plant-a press-07 press-08',
        'tidegate certs issue --site plant-a old-plc-3 --key rsa2048',
        'tidegate certs issue --site plant-a press-09 --csr press-09.csr',
      ),
    )
    .action(async (devices: string[], options: SigningOptions & { site: string; key: LeafKeyKind; csr?: string }) => {
      if (options.csr !== undefined && devices.length > 1) {
        throw usage('one certificate request is for one device', 'run the command once for each device')
      }
      for (const device of devices) requireId(device, 'device')
      const csr = options.csr === undefined ? undefined : await readBounded(options.csr)
      for (const device of devices) {
        const key = csr === undefined ? { key: options.key } : { csr }
        printIssued(await issueDevice({ ...common(options), site: options.site, device, ...key }), options)
      }
    })
}

interface ServerOptions extends SigningOptions {
  role: 'gateway' | 'coordinator'
  site?: string
  dns: string[]
  ip: string[]
  loopback?: boolean
}

function serverCommand(): Command {
  return signing(
    'server',
    'issue the certificate of a gateway (signed by its site) or of the coordinator (signed by the root)',
    'gateway',
  )
    .addOption(
      new Option('--role <role>', 'what the server is').choices(['gateway', 'coordinator']).makeOptionMandatory(),
    )
    .option('--site <site>', 'site of the gateway')
    .option('--dns <name>', 'DNS name that peers dial; may be repeated', collect, [])
    .option('--ip <address>', 'IP address that peers dial; may be repeated', collect, [])
    .option('--loopback', 'add localhost, 127.0.0.1 and ::1, for everything on one machine')
    .addHelpText(
      'after',
      examples(
        '',
        'tidegate certs server --role gateway --site plant-a --dns gateway.plant-a.example --ip 10.0.0.1',
        'tidegate certs server --role coordinator --dns centre.acme.example',
        'tidegate certs server --role gateway --site plant-a --loopback --force',
      ),
    )
    .action(async (options: ServerOptions) => {
      const server =
        options.role === 'gateway' ? { role: options.role, site: requireSite(options.site) } : { role: options.role }
      const { dns, ip, loopback = false } = options
      printIssued(await issueServer({ ...common(options), ...server, dns, ip, loopback }), options)
    })
}

interface RevokeOptions extends PkiOptions {
  site?: string
  role: Role
  serial?: string
  reason: RevocationReason
  crlDays: number
  refresh?: boolean
}

function revokeCommand(): Command {
  return onPki(new Command('revoke').description('revoke certificates and sign the next revocation list of their CA'))
    .argument('[id]', 'device or site whose certificates are revoked, all of them')
    .option('--site <site>', 'site whose CA signed them; left out for what the root signed')
    .addOption(
      new Option('--role <role>', 'what they were issued for')
        .choices(roles.filter((role) => role !== 'root-ca'))
        .default('device'),
    )
    .option('--serial <hex>', 'only the one with this serial number')
    .addOption(new Option('--reason <reason>', 'why').choices(Object.keys(revocationReasons)).default('unspecified'))
    .addOption(
      new Option('--crl-days <days>', 'until the list should be renewed').argParser(parseDays).default(crlDays),
    )
    .option('--refresh', 'revoke nothing, only sign the list anew')
    .addHelpText(
      'after',
      examples(
        'The list then has to reach the gateway: sites/SITE/crl.pem, by any path.',
        'tidegate certs revoke --site plant-a press-07 --reason key-compromise',
        'tidegate certs revoke --site plant-a --role gateway',
        'tidegate certs revoke --role site-ca plant-a',
        'tidegate certs revoke --site plant-a --refresh',
      ),
    )
    .action(async (id: string | undefined, options: RevokeOptions) => {
      const { pki, site, role, serial, reason, refresh = false } = options
      const subject = refresh ? undefined : subjectToRevoke(id, options)
      const done = await revoke({
        pki,
        reason,
        crlDays: options.crlDays,
        ...(site === undefined ? {} : { site }),
        ...(subject === undefined ? {} : { subject }),
        ...(serial === undefined || refresh ? {} : { serial }),
      })
      if (options.json === true) {
        const { pem: _pem, nextUpdateMs, ...crl } = done.crl
        return printJson({ revoked: done.revoked, crl: { ...crl, nextUpdate: new Date(nextUpdateMs).toISOString() } })
      }
      for (const { role: of, cn, serial: number } of done.revoked) print(`revoked ${of} ${cn}, serial ${number}`)
      if (done.revoked.length === 0 && !refresh)
        print(`${role} ${id ?? site ?? ''}: revoked before; the list was signed anew`)
      print(`${done.crl.path}: list number ${done.crl.number}, to be renewed by ${dateOf(done.crl.nextUpdateMs)}`)
    })
}

/** Whose certificates `revoke` means; undefined when a serial alone says it. */
function subjectToRevoke(
  id: string | undefined,
  { role, site, serial }: RevokeOptions,
): { role: Role; id: string } | undefined {
  if (id !== undefined) return { role, id }
  if (role === 'gateway') return { role, id: requireSite(site) }
  if (role === 'coordinator') return { role, id: 'coordinator' }
  if (serial !== undefined) return undefined
  throw usage(`which ${role}?`, `give its id, or --serial, or --refresh to sign the list anew`)
}

interface ListOptions extends PkiOptions {
  site?: string
  revoked?: boolean
  expiresIn?: number
}

function listCommand(): Command {
  return onPki(new Command('list').description('list what each CA issued'))
    .option('--site <site>', 'only this site')
    .option('--revoked', 'only what was revoked')
    .addOption(
      new Option('--expires-in <days>', 'only what is valid and expires within so many days').argParser(parseDays),
    )
    .addHelpText(
      'after',
      examples(
        '',
        'tidegate certs list',
        'tidegate certs list --site plant-a --expires-in 60',
        'tidegate certs list --revoked --json',
      ),
    )
    .action(async (options: ListOptions) => {
      const listed = await list({ pki: options.pki, ...(options.site === undefined ? {} : { site: options.site }) })
      const nowMs = Date.now()
      const rows = listed.map((ca) => ({
        ...ca,
        certificates: ca.certificates.filter((entry) => isWanted(entry, options, nowMs)),
      }))
      if (options.json === true) return printJson(rows)
      printText(
        renderTable(
          ['ca', 'role', 'id', 'state', 'valid until', 'serial'],
          rows.flatMap((ca) => rowsOf(ca, nowMs)),
        ),
      )
    })
}

function isWanted(entry: IndexEntry, { revoked = false, expiresIn }: ListOptions, nowMs: number): boolean {
  if (revoked && entry.revokedAt === undefined) return false
  const leftMs = Date.parse(entry.notAfter) - nowMs
  return expiresIn === undefined || (entry.revokedAt === undefined && leftMs > 0 && leftMs < expiresIn * dayMs)
}

function rowsOf({ site, certificates }: Listed, nowMs: number): string[][] {
  return certificates.map((entry) => [
    site ?? 'root',
    entry.role,
    entry.cn,
    stateOf(entry, nowMs),
    dateOf(Date.parse(entry.notAfter)),
    entry.serial,
  ])
}

function stateOf(entry: IndexEntry, nowMs: number): string {
  if (entry.revokedAt !== undefined)
    return `revoked ${dateOf(Date.parse(entry.revokedAt))}: ${entry.reason ?? 'unspecified'}`
  if (Date.parse(entry.notAfter) < nowMs) return 'expired'
  return Date.parse(entry.notBefore) > nowMs ? 'not yet valid' : 'valid'
}

interface SigningOptions extends PkiOptions {
  force?: boolean
  days?: number
  notBefore?: number
  notAfter?: number
}

function signing(name: string, description: string, role: Role): Command {
  return onPki(new Command(name).description(description))
    .option('--force', 'replace what is there')
    .addOption(new Option('--days <days>', `how long it is valid (default: ${lifeDays[role]})`).argParser(parseDays))
    .addOption(
      new Option('--not-before <time>', 'valid from (ISO 8601; default: a day ago, for clocks that lag)').argParser(
        parseTime,
      ),
    )
    .addOption(new Option('--not-after <time>', 'valid until (ISO 8601)').argParser(parseTime).conflicts('days'))
}

function common({ pki, force, days, notBefore, notAfter }: SigningOptions) {
  const validity: ValidityWish = {
    ...(days === undefined ? {} : { days }),
    ...(notBefore === undefined ? {} : { notBeforeMs: notBefore }),
    ...(notAfter === undefined ? {} : { notAfterMs: notAfter }),
  }
  return { pki, validity, force: force === true }
}

function printIssued({ folder, entry, stillValid }: Issued, { json, site }: PkiOptions & { site?: string }): void {
  const at = site === undefined ? '' : ` --site ${site}`
  if (json === true) return printJson({ folder, ...entry, stillValid })
  print(
    `${folder}: ${entry.role} ${entry.cn}, valid until ${dateOf(Date.parse(entry.notAfter))}, serial ${entry.serial}`,
  )
  for (const earlier of stillValid) {
    console.error(
      `note: the earlier certificate ${earlier.serial} stays valid until ${dateOf(Date.parse(earlier.notAfter))}; tidegate certs revoke${at} --serial ${earlier.serial} ends it`,
    )
  }
}
