// Everything that signs: root, sites, devices, servers, revocation. Each call either ends with all its files in place or changes nothing
// that a peer would see. The order is always: index (what may exist), then the folder with the key (what does exist), then the CRL.
import { X509Certificate } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { AppError } from '../lib/errors.ts'
import { openCa } from './ca.ts'
import type { Ca } from './ca.ts'
import { indexJson, readIndex, writeIndex } from './ca-index.ts'
import type { CaIndex, IndexEntry, RevocationReason } from './ca-index.ts'
import { crlDays, signCrl } from './crl.ts'
import { publicKeyOfCsr } from './csr.ts'
import { normalFingerprint, normalSerial } from './encodings.ts'
import { alreadyExists, finishReplacement, publishFolder, recoverFolder, replaceFile, withLock } from './files.ts'
import type { NewFile } from './files.ts'
import { caFiles, centreFiles, layoutOf, leafFiles, signingFiles } from './layout.ts'
import { requireId } from './roles.ts'
import type { Role } from './roles.ts'
import { subjectAltNames } from './server-names.ts'
import type { ServerNames } from './server-names.ts'
import { signCertificate } from './sign-certificate.ts'
import { chooseValidity, dayMs } from './validity.ts'
import type { ValidityWish } from './validity.ts'
import { newKey } from './x509.ts'
import type { LeafKeyKind } from './x509.ts'

interface Common {
  /** The PKI directory. */
  pki: string
  validity?: ValidityWish
  /** Replace what is there; the keys of a replaced CA are kept beside it, those of a leaf are not. */
  force?: boolean
  nowMs?: number
}

export interface Issued {
  /** Folder that now holds the files. */
  folder: string
  entry: IndexEntry
  /** Leaf and intermediate, or the CA's own certificate. */
  certPem: string
  /** Certificates of the same subject that are still valid: replacing a file revokes nothing. */
  stillValid: IndexEntry[]
}

/** Makes root/ and, where it is missing, centre/. `deployment` (1 to 58 printable characters) becomes the O of every certificate. */
export async function createRoot(options: Common & { deployment: string }): Promise<Issued> {
  const { pki, deployment, force = false, nowMs = Date.now() } = options
  if (!/^[^\p{C}]{1,58}$/u.test(deployment) || deployment.trim() !== deployment) {
    throw new AppError('DEPLOYMENT_NAME_INVALID', `${JSON.stringify(deployment)} cannot name a deployment`, {
      hint: 'give 1 to 58 printable characters, such as "Acme Water"',
      exit: 'usage',
    })
  }
  const at = layoutOf(pki)
  const validity = chooseValidity('root-ca', options.validity ?? {}, nowMs)
  await mkdir(pki, { recursive: true, mode: 0o700 })
  return withLock(pki, async () => {
    await finishReplacement(at.root, 'refuse', nowMs)
    if (!force && existsSync(at.root)) throw alreadyExists(at.root)
    const key = await newKey('p256')
    const { pem, entry } = await signCertificate(
      { role: 'root-ca', id: `${deployment} root`, deployment, publicKey: key.publicKey, validity },
      { selfKey: key.privateKey },
    )
    const index: CaIndex = { v: 1, crlNumber: 1, certificates: [entry] }
    const crl = await signCrl(index, { certificate: new X509Certificate(pem), key: key.privateKey }, { nowMs })
    if (force || !existsSync(at.centre))
      await publishFolder(at.centre, await signingPair(centreFiles), replacing(force, 'keep-old'), nowMs)
    await publishFolder(
      at.root,
      {
        [caFiles.cert]: { data: pem },
        [caFiles.key]: { data: key.privatePem, secret: true },
        [caFiles.crl]: { data: crl },
        [caFiles.index]: { data: indexJson(index) },
      },
      replacing(force, 'keep-old'),
      nowMs,
    )
    return { folder: at.root, entry, certPem: pem, stillValid: [] }
  })
}

/** Makes sites/<site>/ with its CA, signed by the root, its Ed25519 signing key, an empty CRL and an empty index. */
export async function createSite(options: Common & { site: string }): Promise<Issued> {
  const { pki, force = false, nowMs = Date.now() } = options
  const site = requireId(options.site, 'site-ca')
  const at = layoutOf(pki)
  const root = await openCa(at.root)
  const validity = chooseValidity('site-ca', options.validity ?? {}, nowMs, root.validity)
  return withLock(pki, async () => {
    const folder = at.site(site)
    await finishReplacement(folder, 'refuse', nowMs)
    if (!force && existsSync(folder)) throw alreadyExists(folder)
    const key = await newKey('p256')
    const { pem, entry } = await signCertificate(
      { role: 'site-ca', id: site, deployment: root.deployment, publicKey: key.publicKey, validity },
      root,
    )
    const stillValid = await record(root, entry, nowMs)
    const index: CaIndex = { v: 1, crlNumber: 1, certificates: [] }
    const crl = await signCrl(index, { certificate: new X509Certificate(pem), key: key.privateKey }, { nowMs })
    await publishFolder(
      folder,
      {
        [caFiles.cert]: { data: pem },
        [caFiles.key]: { data: key.privatePem, secret: true },
        [caFiles.chain]: { data: pem + root.certPem },
        [caFiles.crl]: { data: crl },
        [caFiles.index]: { data: indexJson(index) },
        ...(await signingPair(signingFiles)),
      },
      replacing(force, 'keep-old'),
      nowMs,
    )
    return { folder, entry, certPem: pem, stillValid }
  })
}

export interface DeviceWish extends Common {
  site: string
  device: string
  /** Kind of the key to make; `p256` when left out. Not together with `csr`. */
  key?: LeafKeyKind
  /** A PKCS#10 request (PEM or DER) of a device that keeps its own key; then no key.pem is written. */
  csr?: string | Buffer
}

/** Issues sites/<site>/devices/<device>/: a client certificate, and its key unless the device brought its own. */
export async function issueDevice(options: DeviceWish): Promise<Issued> {
  const device = requireId(options.device, 'device')
  const at = layoutOf(options.pki)
  const site = await openCa(at.site(requireId(options.site, 'site-ca')))
  const key =
    options.csr === undefined ? await newKey(options.key ?? 'p256') : { publicKey: await publicKeyOfCsr(options.csr) }
  return issueLeaf(site, { ...options, role: 'device', id: device, folder: at.device(options.site, device), key })
}

export type ServerWish = Common &
  ServerNames &
  ({ role: 'gateway'; site: string } | { role: 'coordinator'; id?: string })

/**
 * Issues the gateway's certificate (signed by its site, server and client at once) or the coordinator's (signed by the root).
 * At least one name or address is needed.
 */
export async function issueServer(options: ServerWish): Promise<Issued> {
  const at = layoutOf(options.pki)
  const altNames = subjectAltNames(options)
  const key = await newKey('p256')
  if (options.role === 'gateway') {
    const id = requireId(options.site, 'gateway')
    const site = await openCa(at.site(id))
    return issueLeaf(site, { ...options, role: 'gateway', id, folder: at.gateway(id), key, altNames })
  }
  const id = requireId(options.id ?? 'coordinator', 'coordinator')
  return issueLeaf(await openCa(at.root), {
    ...options,
    role: 'coordinator',
    id,
    folder: at.coordinator,
    key,
    altNames,
  })
}

interface LeafWish extends Common {
  role: Role
  id: string
  folder: string
  key: { publicKey: KeyObject; privatePem?: string }
  altNames?: ReturnType<typeof subjectAltNames>
}

async function issueLeaf(
  ca: Ca,
  { role, id, folder, key, altNames, validity, force = false, nowMs = Date.now(), pki }: LeafWish,
): Promise<Issued> {
  const signed = await signCertificate(
    {
      role,
      id,
      deployment: ca.deployment,
      publicKey: key.publicKey,
      validity: chooseValidity(role, validity ?? {}, nowMs, ca.validity),
      ...(altNames === undefined ? {} : { altNames }),
    },
    ca,
  )
  // Peers that trust only the root need the intermediate sent along; the root itself is never sent.
  const certPem = role === 'coordinator' ? signed.pem : signed.pem + ca.certPem
  return withLock(role === 'coordinator' ? pki : ca.folder, async () => {
    await finishReplacement(folder, 'refuse', nowMs)
    if (!force && existsSync(folder)) throw alreadyExists(folder)
    const stillValid = await record(ca, signed.entry, nowMs)
    const files: Record<string, NewFile> = { [leafFiles.cert]: { data: certPem } }
    if (key.privatePem !== undefined) files[leafFiles.key] = { data: key.privatePem, secret: true }
    await publishFolder(folder, files, replacing(force, 'discard-old'), nowMs)
    return { folder, entry: signed.entry, certPem, stillValid }
  })
}

/** Adds an entry to the CA's index, and returns the earlier ones of the same subject that peers still accept. */
async function record(ca: Ca, entry: IndexEntry, nowMs: number): Promise<IndexEntry[]> {
  const index = await readIndex(ca.folder)
  const stillValid = index.certificates.filter(
    (other) =>
      other.cn === entry.cn &&
      other.role === entry.role &&
      other.revokedAt === undefined &&
      Date.parse(other.notAfter) > nowMs,
  )
  await writeIndex(ca.folder, { ...index, certificates: [...index.certificates, entry] })
  return stillValid
}

async function signingPair(names: { key: string; pub: string }): Promise<Record<string, NewFile>> {
  const { privatePem, publicKey } = await newKey('ed25519')
  return {
    [names.key]: { data: privatePem, secret: true },
    [names.pub]: { data: publicKey.export({ type: 'spki', format: 'pem' }) },
  }
}

const replacing = (force: boolean, how: 'keep-old' | 'discard-old') => (force ? how : 'refuse')

export interface RevokeWish {
  pki: string
  /** The site whose CA signed the certificate; without it the root's. */
  site?: string
  /** Which certificates: all of a subject (the safe choice for a stolen device), or the one with this serial. Neither: only renew the CRL. */
  subject?: { role: Role; id: string }
  serial?: string
  reason?: RevocationReason
  /** Until the CRL should be renewed. */
  crlDays?: number
  nowMs?: number
}

export interface Revoked {
  /** Entries revoked by this call; empty when they all were before, or when only the CRL was renewed. */
  revoked: IndexEntry[]
  crl: { path: string; number: number; pem: string; nextUpdateMs: number }
}

/**
 * Revokes certificates, expired ones too, and signs the CA's next CRL; throws CERTIFICATE_NOT_FOUND when none matches. Repeating it is
 * harmless, and mends a CRL that a crash kept from being written.
 */
export async function revoke(options: RevokeWish): Promise<Revoked> {
  const { pki, site, subject, serial, reason = 'unspecified', nowMs = Date.now(), crlDays: days = crlDays } = options
  if (!(days > 0 && days <= 36_525))
    throw new AppError('CRL_DAYS_INVALID', `a CRL cannot hold for ${days} days`, {
      hint: 'give 1 to 36525',
      exit: 'usage',
    })
  const at = layoutOf(pki)
  const ca = await openCa(site === undefined ? at.root : at.site(requireId(site, 'site-ca')))
  return withLock(site === undefined ? pki : ca.folder, async () => {
    const index = await readIndex(ca.folder)
    const isMeant = (entry: IndexEntry) =>
      (subject === undefined || (entry.role === subject.role && entry.cn === subject.id)) &&
      (serial === undefined || entry.serial === normalSerial(serial))
    const meant = subject === undefined && serial === undefined ? [] : index.certificates.filter(isMeant)
    if (meant.length === 0 && (subject !== undefined || serial !== undefined)) {
      throw new AppError(
        'CERTIFICATE_NOT_FOUND',
        `${ca.folder} never issued a certificate ${describeMeant(subject, serial)}`,
        {
          hint: `tidegate certs list${site === undefined ? '' : ` --site ${site}`} shows what it issued`,
          exit: 'certificate',
        },
      )
    }
    const ownSha256 = normalFingerprint(ca.certificate.fingerprint256)
    if (meant.some((entry) => entry.sha256 === ownSha256)) {
      throw new AppError('ROOT_NOT_REVOCABLE', 'a root CA cannot revoke itself: nobody would be left to believe it', {
        hint: 'take it out of the trust files of every device, gateway and coordinator',
        exit: 'certificate',
      })
    }
    const revokedAt = new Date(Math.floor(nowMs / 1000) * 1000).toISOString()
    const fresh = new Map(
      meant.filter((entry) => entry.revokedAt === undefined).map((entry) => [entry, { ...entry, revokedAt, reason }]),
    )
    const next: CaIndex = {
      ...index,
      crlNumber: index.crlNumber + 1,
      certificates: index.certificates.map((entry) => fresh.get(entry) ?? entry),
    }
    await writeIndex(ca.folder, next)
    const pem = await signCrl(next, ca, { nowMs, days })
    const path = join(ca.folder, caFiles.crl)
    await replaceFile(path, { data: pem })
    return {
      revoked: [...fresh.values()],
      crl: { path, number: next.crlNumber, pem, nextUpdateMs: nowMs + days * dayMs },
    }
  })
}

function describeMeant(subject: RevokeWish['subject'], serial: string | undefined): string {
  return [
    subject === undefined ? undefined : `for ${subject.role} ${subject.id}`,
    serial === undefined ? undefined : `with serial ${serial}`,
  ]
    .filter((part) => part !== undefined)
    .join(' and ')
}

export interface Listed {
  /** Undefined for the root. */
  site: string | undefined
  crlNumber: number
  certificates: IndexEntry[]
}

/** What one site's CA issued, or, without a site, what the root and every site here did. Needs no private key. */
export async function list({ pki, site }: { pki: string; site?: string }): Promise<Listed[]> {
  const at = layoutOf(pki)
  const read = async (folder: string, of: string | undefined): Promise<Listed> => {
    await recoverFolder(folder, pki)
    const { crlNumber, certificates } = await readIndex(folder)
    return { site: of, crlNumber, certificates }
  }
  if (site !== undefined) return [await read(at.site(requireId(site, 'site-ca')), site)]
  const sites = existsSync(at.sites)
    ? (await readdir(at.sites)).filter((name) => existsSync(join(at.site(name), caFiles.index))).sort()
    : []
  const listed = existsSync(join(at.root, caFiles.index)) ? [await read(at.root, undefined)] : []
  for (const name of sites.filter((id) => !id.includes('.'))) listed.push(await read(at.site(name), name))
  if (listed.length === 0) {
    throw new AppError('CA_MISSING', `there is no CA in ${pki}`, {
      hint: 'give the PKI directory as --pki, or make one: tidegate certs init',
      exit: 'certificate',
    })
  }
  return listed
}
