// What leaves a PKI directory for a device, a gateway, the coordinator or a browser: exactly the files each needs, and never a CA key that
// it does not sign with. Bundles are folders that are whole or not there, as everything else that certs/ writes.
import { X509Certificate } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { basename, join, relative } from 'node:path'
import { AppError } from '../lib/errors.ts'
import { alreadyExists, publishFolder, readableFolder, readBounded, writeOut } from './files.ts'
import type { NewFile } from './files.ts'
import { caFiles, centreFiles, layoutOf, leafFiles, signingFiles } from './layout.ts'
import { readLeaf } from './leaf.ts'
import { readPem } from './pem.ts'
import { makePkcs12 } from './pkcs12.ts'
import type { Pkcs12Wish } from './pkcs12.ts'
import { requireId } from './roles.ts'

/** Whose files to export. */
export type Subject =
  { role: 'device'; site: string; device: string } | { role: 'gateway'; site: string } | { role: 'coordinator' }

interface Target {
  pki: string
  subject: Subject
  force?: boolean
  nowMs?: number
}

export interface Exported {
  /** Written files. */
  files: string[]
  /** What the receiver still needs and this PKI directory does not have. */
  missing: string[]
}

function folderOf(pki: string, subject: Subject): string {
  const at = layoutOf(pki)
  if (subject.role === 'coordinator') return at.coordinator
  const site = requireId(subject.site, 'site-ca')
  return subject.role === 'gateway' ? at.gateway(site) : at.device(site, requireId(subject.device, 'device'))
}

/**
 * Writes `to` as a folder ready for the machine. Device: cert.pem, key.pem, ca.pem (root, its trust), command-signing.pub and
 * site-signing.pub (whose commands it obeys). Gateway and coordinator: the part of the PKI directory that is theirs, in the same layout,
 * so that every `tidegate certs` command works there with --pki.
 */
export async function exportBundle({
  pki,
  subject,
  force = false,
  nowMs = Date.now(),
  to,
}: Target & { to: string }): Promise<Exported> {
  const wanted = await wantedFiles(pki, subject)
  if (!force && existsSync(to)) throw alreadyExists(to)
  const files: Record<string, NewFile> = {}
  const missing: string[] = []
  for (const { from, name, secret, optional } of wanted) {
    if (optional === true && !existsSync(from)) {
      missing.push(name)
      continue
    }
    files[name] = {
      data: await readBounded(from, `tidegate certs list --pki ${pki}`),
      ...(secret === true ? { secret } : {}),
    }
  }
  await refuseForeignFiles(to, files)
  await publishFolder(to, files, force ? 'discard-old' : 'refuse', nowMs)
  return { files: Object.keys(files).map((name) => join(to, name)), missing }
}

/** --force replaces an earlier bundle, not whatever folder somebody named by mistake, nor a gateway that has issued since. */
async function refuseForeignFiles(folder: string, files: Record<string, NewFile>): Promise<void> {
  if (!existsSync(folder)) return
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const foreign = entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .find((name) => !Object.hasOwn(files, name))
  if (foreign === undefined) return
  throw new AppError(
    'BUNDLE_FOLDER_IN_USE',
    `${folder} holds ${foreign}, which is not part of this bundle and would be lost`,
    {
      hint: 'give a folder that does not exist yet',
      exit: 'certificate',
    },
  )
}

interface Wanted {
  from: string
  /** Path in the bundle. */
  name: string
  secret?: boolean
  optional?: boolean
}

async function wantedFiles(pki: string, subject: Subject): Promise<Wanted[]> {
  const at = layoutOf(pki)
  const leaf = readableFolder(folderOf(pki, subject))
  const identity = (under: string, keyOptional = false): Wanted[] => [
    { from: join(leaf, leafFiles.cert), name: join(under, leafFiles.cert) },
    { from: join(leaf, leafFiles.key), name: join(under, leafFiles.key), secret: true, optional: keyOptional },
  ]
  const centrePub = join(at.centre, centreFiles.pub)
  if (subject.role === 'device') {
    return [
      ...identity('', true),
      { from: join(at.root, caFiles.cert), name: caFiles.cert },
      { from: centrePub, name: centreFiles.pub, optional: true },
      { from: join(at.site(subject.site), signingFiles.pub), name: `site-${signingFiles.pub}` },
    ]
  }
  const rootCert = { from: join(at.root, caFiles.cert), name: join('root', caFiles.cert) }
  const rootCrl = { from: join(at.root, caFiles.crl), name: join('root', caFiles.crl), optional: true }
  if (subject.role === 'gateway') {
    const under = join('sites', subject.site)
    const own = (name: string, secret = false): Wanted => ({
      from: join(at.site(subject.site), name),
      name: join(under, name),
      secret,
    })
    return [
      ...identity(join(under, 'gateway')),
      ...[caFiles.cert, caFiles.chain, caFiles.crl, caFiles.index, signingFiles.pub].map((name) => own(name)),
      own(caFiles.key, true),
      own(signingFiles.key, true),
      rootCert,
      rootCrl,
      { from: centrePub, name: join('centre', centreFiles.pub), optional: true },
    ]
  }
  const sites = existsSync(at.sites)
    ? (await readdir(at.sites)).filter(
        (name) => existsSync(join(at.site(name), signingFiles.pub)) && !name.includes('.'),
      )
    : []
  return [
    ...identity('coordinator'),
    rootCert,
    rootCrl,
    { from: centrePub, name: join('centre', centreFiles.pub) },
    { from: join(at.centre, centreFiles.key), name: join('centre', centreFiles.key), secret: true },
    ...sites.map((site) => ({
      from: join(at.site(site), signingFiles.pub),
      name: join('sites', site, signingFiles.pub),
    })),
  ]
}

/** Writes key, certificate and intermediate into one file (mode 0600), the order that nginx, HAProxy and many small TLS stacks read. */
export async function exportPem({ pki, subject, force = false, to }: Target & { to: string }): Promise<Exported> {
  const { certPem, keyPem } = await readLeaf(folderOf(pki, subject))
  await writeOut(to, { data: keyPem + certPem, secret: true }, { force })
  return { files: [to], missing: [] }
}

/** Writes a PKCS#12 file (mode 0600) with key, certificate and intermediate. The password has 8 to 128 printable ASCII characters. */
export async function exportPkcs12({
  pki,
  subject,
  force = false,
  to,
  password,
  protection,
}: Target & { to: string } & Pick<Pkcs12Wish, 'password' | 'protection'>): Promise<Exported> {
  if (!/^[\x20-\x7e]{8,128}$/.test(password)) {
    throw new AppError(
      'PASSWORD_INVALID',
      'the password of a PKCS#12 file needs 8 to 128 printable ASCII characters: readers disagree on others',
      {
        hint: 'leave --password-file out, and a password is made for you',
        exit: 'usage',
      },
    )
  }
  const folder = folderOf(pki, subject)
  const { certPem, keyPem } = await readLeaf(folder)
  const certificates = readPem(Buffer.from(certPem)).blocks.map(({ der }) => new X509Certificate(der))
  const name = subject.role === 'gateway' ? `gateway ${subject.site}` : basename(folder)
  await writeOut(
    to,
    { data: makePkcs12({ certificates, keyPem, password, name, protection }), secret: true },
    { force },
  )
  return { files: [to], missing: [] }
}
