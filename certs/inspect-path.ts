// Inspects files and folders on disk: each file together with what lies beside it (the key of a certificate, the CAs and CRLs of its PKI
// directory), because most mistakes are two good files that do not belong together.
import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, extname, join, resolve } from 'node:path'
import { AppError } from '../lib/errors.ts'
import { readIndex } from './ca-index.ts'
import { readBounded } from './files.ts'
import { finding } from './findings.ts'
import type { Finding } from './findings.ts'
import { inspectBytes } from './inspect.ts'
import type { FileKind, Inspection } from './inspect.ts'
import { roleOf } from './inspect-certificate.ts'
import { caFiles, centreFiles, leafFiles, signingFiles } from './layout.ts'
import { readPem } from './pem.ts'
import { RevocationList } from './revocation.ts'
import type { Role } from './roles.ts'

export interface InspectWish {
  nowMs: number
  /** Name or address that peers dial. */
  dialled?: string
  role?: Role
  /** Files with CA certificates, instead of those found near the file. */
  ca?: readonly string[]
  /** Revocation lists, instead of those found near the file. */
  crl?: readonly string[]
  /** The private key, instead of the one beside the file. */
  key?: string
}

export interface InspectedFile extends Inspection {
  path: string
}

const maxFiles = 20_000
const inspectable = new Set(['.pem', '.key', '.pub', '.crt', '.cer', '.der', '.csr', '.crl', '.p12', '.pfx'])

/** Inspects a file, or every certificate file in a folder and those below it. Throws FILE_MISSING when there is nothing at `path`. */
export async function inspectPath(path: string, wish: InspectWish): Promise<InspectedFile[]> {
  if (!existsSync(path))
    throw new AppError('FILE_MISSING', `${path} is not there`, { hint: 'check the path', exit: 'usage' })
  const near = new Neighbourhood()
  if (!(await stat(path)).isDirectory()) return [await inspectFile(path, wish, near)]
  const inspected: InspectedFile[] = []
  for (const file of await filesBelow(path)) inspected.push(await inspectFile(file, wish, near))
  if (inspected.length === 0) {
    throw new AppError('FILE_MISSING', `${path} holds no file that inspect knows (${[...inspectable].join(', ')})`, {
      hint: 'give the file itself',
      exit: 'usage',
    })
  }
  return inspected
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true })
  const paths = entries
    .filter((entry) => entry.isFile() && inspectable.has(extname(entry.name)))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !/(^|\/)\.|\.replaced-/.test(path.slice(folder.length + 1)))
    .sort()
  if (paths.length > maxFiles)
    throw new AppError('TOO_MANY_FILES', `${folder} holds ${paths.length} files, more than ${maxFiles}`, {
      hint: 'inspect one site at a time',
      exit: 'usage',
    })
  return paths
}

async function inspectFile(path: string, wish: InspectWish, near: Neighbourhood): Promise<InspectedFile> {
  let bytes: Buffer
  try {
    bytes = await readBounded(path)
  } catch (error) {
    return {
      path,
      facts: [],
      findings: [
        finding('FILE_UNREADABLE', (error as Error).message, 'check owner and mode of the file and its folders'),
      ],
    }
  }
  const [keyFile, publicFile] = partnersOf(path)
  const key = await near.privateKey(wish.key ?? keyFile)
  const publicKey = await near.publicKey(publicFile)
  const trust = await near.trust(path, wish.ca)
  const expect = expectedKind(basename(path))
  const inspection = await inspectBytes(bytes, {
    nowMs: wish.nowMs,
    trust,
    revocation: await near.revocation(path, trust, wish.crl),
    mode: (await stat(path)).mode,
    ...(expect === undefined ? {} : { expect }),
    ...(key === undefined ? {} : { key }),
    ...(publicKey === undefined ? {} : { publicKey }),
    ...(wish.role === undefined ? {} : { role: wish.role }),
    ...(wish.dialled === undefined ? {} : { dialled: wish.dialled }),
  })
  if (basename(path) === caFiles.crl) inspection.findings.push(...(await compareWithIndex(path, bytes, trust)))
  return { path, ...inspection }
}

/** The private key and the certificate or public key that belong to a file by its name. */
function partnersOf(path: string): [privateKey: string | undefined, publicPart: string | undefined] {
  const beside = (name: string) => join(dirname(path), name)
  switch (basename(path)) {
    case leafFiles.cert:
      return [beside(leafFiles.key), undefined]
    case leafFiles.key:
      return [undefined, beside(leafFiles.cert)]
    case caFiles.cert:
      return [beside(caFiles.key), undefined]
    case caFiles.key:
      return [undefined, beside(caFiles.cert)]
    case signingFiles.pub:
      return [beside(signingFiles.key), undefined]
    case signingFiles.key:
      return [undefined, beside(signingFiles.pub)]
    case centreFiles.pub:
      return [beside(centreFiles.key), undefined]
    case centreFiles.key:
      return [undefined, beside(centreFiles.pub)]
    default:
      return [undefined, undefined]
  }
}

function expectedKind(name: string): FileKind | undefined {
  if ([caFiles.cert, caFiles.chain, leafFiles.cert].includes(name as 'ca.pem')) return 'certificate'
  if (name === leafFiles.key || name.endsWith('.key')) return 'private key'
  if (name.endsWith('.pub')) return 'public key'
  if (name === caFiles.crl || name.endsWith('.crl')) return 'revocation list'
  return name.endsWith('.csr') ? 'certificate request' : undefined
}

/** A crash between index and CRL leaves a revoked device that every gateway still lets in. */
async function compareWithIndex(path: string, crl: Buffer, trust: readonly X509Certificate[]): Promise<Finding[]> {
  const folder = dirname(path)
  if (!existsSync(join(folder, caFiles.index))) return []
  try {
    const index = await readIndex(folder)
    const own = new X509Certificate(await readBounded(join(folder, caFiles.cert)))
    const list = RevocationList.load(crl, (trust.find((ca) => ca.raw.equals(own.raw)) ?? own).raw)
    const missing = index.certificates.filter((entry) => entry.revokedAt !== undefined && !list.isRevoked(entry.serial))
    if (missing.length === 0) return []
    return [
      finding(
        'CRL_BEHIND_INDEX',
        `${missing.length} certificate(s) are revoked in index.json and missing from the list: ${missing
          .map(({ cn }) => cn)
          .slice(0, 5)
          .join(', ')}`,
        'tidegate certs revoke --site SITE --refresh',
      ),
    ]
  } catch (error) {
    return [finding('CRL_INVALID', (error as Error).message, error instanceof AppError ? (error.hint ?? '') : '')]
  }
}

/** Files near the inspected ones; each is read once, however many devices a site has. Unreadable ones are reported as files of their own. */
class Neighbourhood {
  readonly #files = new Map<string, Promise<Buffer | undefined>>()
  readonly #lists = new Map<string, RevocationList | undefined>()

  #read(path: string): Promise<Buffer | undefined> {
    const known =
      this.#files.get(path) ??
      (existsSync(path) ? readBounded(path).catch(() => undefined) : Promise.resolve(undefined))
    this.#files.set(path, known)
    return known
  }

  async privateKey(path: string | undefined): Promise<KeyObject | undefined> {
    const pem = path === undefined ? undefined : await this.#read(path)
    return pem === undefined ? undefined : attempt(() => createPrivateKey(pem))
  }

  async publicKey(path: string | undefined): Promise<KeyObject | undefined> {
    const pem = path === undefined ? undefined : await this.#read(path)
    return pem === undefined
      ? undefined
      : attempt(() => (path?.endsWith('.pub') ? createPublicKey(pem) : new X509Certificate(pem).publicKey))
  }

  /** CA certificates: the given files, or ca.pem and chain.pem here and in the folders above, and the root's. */
  async trust(path: string, given?: readonly string[]): Promise<X509Certificate[]> {
    const files = given ?? above(path, [caFiles.cert, caFiles.chain, join('root', caFiles.cert)])
    const found = new Map<string, X509Certificate>()
    for (const file of files.filter((one) => given !== undefined || resolve(one) !== resolve(path))) {
      for (const { label, der } of readPem((await this.#read(file)) ?? Buffer.alloc(0)).blocks) {
        const certificate = label === 'CERTIFICATE' ? attempt(() => new X509Certificate(der)) : undefined
        if (certificate !== undefined && (certificate.ca || roleOf(certificate)?.endsWith('-ca')))
          found.set(certificate.fingerprint256, certificate)
      }
    }
    return [...found.values()]
  }

  async revocation(path: string, trust: readonly X509Certificate[], given?: readonly string[]) {
    const found: { list: RevocationList; ca: X509Certificate }[] = []
    for (const file of given ?? above(path, [caFiles.crl, join('root', caFiles.crl)])) {
      const bytes = await this.#read(file)
      for (const ca of bytes === undefined ? [] : trust) {
        const id = `${file} ${ca.fingerprint256}`
        if (!this.#lists.has(id))
          this.#lists.set(
            id,
            attempt(() => RevocationList.load(bytes as Buffer, ca.raw)),
          )
        const list = this.#lists.get(id)
        if (list !== undefined) found.push({ list, ca })
      }
    }
    return found
  }
}

/** These names in the folder of a file and the four above it: as deep as a device lies in a PKI directory. */
function above(path: string, names: readonly string[]): string[] {
  const folders: string[] = []
  let folder = dirname(resolve(path))
  for (let depth = 0; depth < 5; depth += 1) {
    folders.push(folder)
    folder = dirname(folder)
  }
  return [...new Set(folders.flatMap((one) => names.map((name) => join(one, name))))]
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}
