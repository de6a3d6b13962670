// `tidegate certs inspect`: whatever a file holds, says in words what is wrong with it and how to mend it. Never throws for the content of
// a file: a mangled file is what it is for.
import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { AppError } from '../lib/errors.ts'
import { keyWeakness, publicKeyOfCsr } from './csr.ts'
import { toPem } from './encodings.ts'
import { finding } from './findings.ts'
import type { Finding } from './findings.ts'
import { inspectCertificates, signsFor } from './inspect-certificate.ts'
import type { CertificateContext } from './inspect-certificate.ts'
import { derLength, readPem } from './pem.ts'
import type { PemBlock } from './pem.ts'
import { parseCrl, RevocationList, subjectDerOf } from './revocation.ts'
import type { ParsedCrl } from './revocation.ts'
import { x509 } from './x509.ts'

export type FileKind = 'certificate' | 'private key' | 'public key' | 'revocation list' | 'certificate request'

export interface InspectContext extends CertificateContext {
  /** What the file should hold, by its name or its place in a configuration. */
  expect?: FileKind
  /** Permission bits, for private keys. */
  mode?: number
  /** The public key or certificate that lies beside a private key. */
  publicKey?: KeyObject
}

export interface Inspection {
  /** What the file holds, one line each. */
  facts: string[]
  findings: Finding[]
}

/** Inspects the content of a file. */
export async function inspectBytes(bytes: Buffer, context: InspectContext): Promise<Inspection> {
  const findings: Finding[] = []
  const facts: string[] = []
  let blocks: PemBlock[]
  if (bytes[0] === 0x30 && derLength(bytes) !== undefined) {
    const guessed = guessDer(bytes)
    findings.push(guessed.finding)
    blocks = guessed.blocks
  } else {
    const reading = readPem(bytes)
    findings.push(...reading.findings)
    blocks = reading.blocks
  }

  const kinds = new Set(blocks.map(({ label }) => kindOfLabel.get(label)))
  if (context.expect !== undefined && blocks.length > 0 && !kinds.has(context.expect)) {
    const holds = blocks.map(({ label }) => label.toLowerCase()).join(', ')
    findings.push(
      finding(
        'KIND_UNEXPECTED',
        `a ${context.expect} is expected here, and the file holds: ${holds}`,
        'give the file that holds it; cert.pem is the certificate, key.pem the private key',
      ),
    )
  }
  if (kinds.has('private key') && kinds.has('certificate')) {
    findings.push(
      finding(
        'KEY_BESIDE_CERTIFICATE',
        'the file holds a private key and a certificate; who may read the one can read the other',
        'keep the key in a file of its own, with mode 0600',
      ),
    )
  }

  const certificates = blocks.filter(({ label }) => kindOfLabel.get(label) === 'certificate')
  if (certificates.length > 0) {
    const report = inspectCertificates(
      certificates.map(({ der }) => der),
      context,
    )
    facts.push(...report.facts)
    findings.push(...report.findings)
  }
  for (const block of blocks) {
    const report = await inspectBlock(block, context)
    facts.push(...report.facts)
    findings.push(...report.findings)
  }
  return { facts, findings }
}

const kindOfLabel = new Map<string, FileKind>([
  ['CERTIFICATE', 'certificate'],
  ['PRIVATE KEY', 'private key'],
  ['EC PRIVATE KEY', 'private key'],
  ['RSA PRIVATE KEY', 'private key'],
  ['ENCRYPTED PRIVATE KEY', 'private key'],
  ['OPENSSH PRIVATE KEY', 'private key'],
  ['PUBLIC KEY', 'public key'],
  ['X509 CRL', 'revocation list'],
  ['CERTIFICATE REQUEST', 'certificate request'],
  ['NEW CERTIFICATE REQUEST', 'certificate request'],
])

async function inspectBlock(block: PemBlock, context: InspectContext): Promise<Inspection> {
  switch (kindOfLabel.get(block.label)) {
    case 'certificate':
      return { facts: [], findings: [] } // seen above, all together: a chain is more than its links
    case 'private key':
      return inspectPrivateKey(block, context)
    case 'public key':
      return inspectPublicKey(block, context)
    case 'revocation list':
      return inspectCrl(block, context)
    case 'certificate request':
      return inspectRequest(block)
    case undefined: {
      if (block.label === 'EC PARAMETERS') return { facts: ['EC parameters, which nothing needs'], findings: [] }
      const hint = block.label.endsWith('CERTIFICATE')
        ? 'openssl x509 -in FILE -out NEW'
        : 'give a file with a CERTIFICATE, PRIVATE KEY, PUBLIC KEY, X509 CRL or CERTIFICATE REQUEST'
      return {
        facts: [],
        findings: [finding('PEM_UNKNOWN_LABEL', `tidegate does not use a block of the kind ${block.label}`, hint)],
      }
    }
  }
}

function inspectPrivateKey({ label, der }: PemBlock, { mode, publicKey }: InspectContext): Inspection {
  const findings: Finding[] = []
  if (mode !== undefined && (mode & 0o077) !== 0) {
    findings.push(
      finding(
        'KEY_TOO_OPEN',
        `others than its owner can reach this private key (mode ${(mode & 0o777).toString(8).padStart(4, '0')})`,
        'chmod 600 FILE; if others may have read it, issue a new one and revoke this one',
      ),
    )
  }
  if (label === 'ENCRYPTED PRIVATE KEY') {
    findings.push(
      finding(
        'KEY_ENCRYPTED',
        'the key is protected by a passphrase, which no service can type',
        'openssl pkey -in FILE -out NEW, and chmod 600 NEW',
      ),
    )
    return { facts: ['encrypted private key'], findings }
  }
  let key: KeyObject
  try {
    key = createPrivateKey(toPem(label, der))
  } catch (error) {
    const hint =
      label === 'OPENSSH PRIVATE KEY'
        ? 'ssh-keygen -p -m PKCS8 -f FILE converts it'
        : 'fetch the file again, or issue a new key'
    findings.push(finding('KEY_UNREADABLE', `the private key cannot be read: ${(error as Error).message}`, hint))
    return { facts: [], findings }
  }
  if (!signsFor(key, createPublicKey(key))) {
    findings.push(
      finding(
        'KEY_INCONSISTENT',
        'the two halves of this private key do not fit together: it was damaged',
        'fetch the file again, or issue a new key',
      ),
    )
  } else if (publicKey !== undefined && !signsFor(key, publicKey)) {
    findings.push(
      finding(
        'KEY_MISMATCH',
        'the private key does not belong to the certificate or public key beside it',
        'fetch both together from one folder',
      ),
    )
  }
  const weakness = key.asymmetricKeyType === 'ed25519' ? undefined : keyWeakness(key)
  if (weakness !== undefined) findings.push(finding('KEY_WEAK', `the key is ${weakness}`, 'issue a new one'))
  if (label === 'PRIVATE KEY' && !key.export({ type: 'pkcs8', format: 'der' }).equals(der)) {
    findings.push(
      finding(
        'KEY_ENCODING',
        'the key is not encoded as OpenSSL writes it; other readers may refuse it',
        'openssl pkey -in FILE -out NEW',
      ),
    )
  }
  return { facts: [`private key, ${describeKey(key)}`], findings }
}

function inspectPublicKey({ der }: PemBlock, { key }: InspectContext): Inspection {
  try {
    const publicKey = createPublicKey({ key: der, format: 'der', type: 'spki' })
    const isForeign = key !== undefined && !signsFor(key, publicKey)
    return {
      facts: [`public key, ${describeKey(publicKey)}`],
      findings: isForeign
        ? [
            finding(
              'KEY_MISMATCH',
              'the public key does not belong to the private key beside it',
              'openssl pkey -in PRIVATE -pubout -out FILE',
            ),
          ]
        : [],
    }
  } catch (error) {
    return {
      facts: [],
      findings: [
        finding('KEY_UNREADABLE', `the public key cannot be read: ${(error as Error).message}`, 'fetch the file again'),
      ],
    }
  }
}

function describeKey(key: KeyObject): string {
  const { modulusLength, namedCurve } = key.asymmetricKeyDetails ?? {}
  return [
    key.asymmetricKeyType?.toUpperCase(),
    namedCurve,
    modulusLength === undefined ? undefined : `${modulusLength} bits`,
  ]
    .filter(Boolean)
    .join(' ')
}

function inspectCrl({ der }: PemBlock, { trust, nowMs }: InspectContext): Inspection {
  const renew = 'tidegate certs revoke --site SITE --refresh signs a new one'
  let list: ParsedCrl
  let issuer: string
  try {
    list = parseCrl(der)
    issuer = new x509.Name(list.issuer).getField('CN').join('+')
  } catch (error) {
    return {
      facts: [],
      findings: [finding('CRL_INVALID', `the revocation list cannot be read: ${(error as Error).message}`, renew)],
    }
  }
  const findings: Finding[] = []
  const renewBy = Number.isFinite(list.nextUpdateMs) ? new Date(list.nextUpdateMs).toISOString() : '(no date)'
  if (nowMs > list.nextUpdateMs) {
    findings.push(
      finding(
        'CRL_STALE',
        `the list should have been renewed by ${renewBy}; tidegate goes on using it, other software refuses everybody`,
        renew,
      ),
    )
  }
  if (nowMs < list.thisUpdateMs) {
    findings.push(
      finding(
        'CRL_NOT_YET_VALID',
        `the list was signed for ${new Date(list.thisUpdateMs).toISOString()}, and here it is earlier`,
        'set the clock of this machine (timedatectl)',
      ),
    )
  }
  const issuers = trust.filter((ca) => isNamed(ca, list.issuer))
  if (issuers.length === 0) {
    findings.push(
      finding(
        'CRL_UNCHECKED',
        `the CA that signed the list (${issuer}) is not at hand`,
        'give it: --ca sites/SITE/ca.pem',
      ),
    )
  } else {
    const ca = issuers.find((one) => list.isSignedBy(one)) ?? (issuers[0] as X509Certificate)
    try {
      RevocationList.load(der, ca.raw)
    } catch (error) {
      findings.push(finding('CRL_INVALID', (error as Error).message, renew))
    }
  }
  const facts = [
    `revocation list number ${list.number ?? '(none)'} of ${issuer}, ${list.revokedAtMs.size} revoked, to be renewed by ${renewBy}`,
  ]
  return { facts, findings }
}

function isNamed(certificate: X509Certificate, name: Buffer): boolean {
  try {
    return subjectDerOf(certificate).equals(name)
  } catch {
    return false
  }
}

async function inspectRequest({ der }: PemBlock): Promise<Inspection> {
  try {
    const key = await publicKeyOfCsr(der)
    return { facts: [`certificate request, ${describeKey(key)}`], findings: [] }
  } catch (error) {
    return {
      facts: [],
      findings: [
        finding(
          'REQUEST_INVALID',
          (error as Error).message,
          (error instanceof AppError ? error.hint : undefined) ?? '',
        ),
      ],
    }
  }
}

/** What a DER file is, tried in turn; it is then inspected like the PEM it should be. */
function guessDer(der: Buffer): { finding: Finding; blocks: PemBlock[] } {
  const parsers: [label: string, command: string, parse: () => unknown][] = [
    ['CERTIFICATE', 'openssl x509', () => new X509Certificate(der)],
    ['X509 CRL', 'openssl crl', () => parseCrl(der)],
    ['PRIVATE KEY', 'openssl pkey', () => createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })],
    ['PUBLIC KEY', 'openssl pkey -pubin', () => createPublicKey({ key: der, format: 'der', type: 'spki' })],
    ['CERTIFICATE REQUEST', 'openssl req', () => new x509.Pkcs10CertificateRequest(der)],
  ]
  for (const [label, command, parse] of parsers) {
    try {
      parse()
    } catch {
      continue
    }
    return {
      finding: finding(
        'FILE_IS_DER',
        `the file is a ${label.toLowerCase()} in DER, the binary form; tidegate reads PEM, the text form`,
        `${command} -inform der -in FILE -out NEW`,
      ),
      blocks: [{ label, der }],
    }
  }
  // PFX ::= SEQUENCE { version INTEGER (3), ... } (RFC 7292)
  const body = der.subarray((der[1] as number) < 0x80 ? 2 : 2 + ((der[1] as number) & 0x7f))
  if (body.subarray(0, 3).equals(Buffer.from([2, 1, 3]))) {
    return {
      finding: finding(
        'FILE_IS_PKCS12',
        'the file is a PKCS#12 bundle (.p12, .pfx), as browsers import it; tidegate reads PEM',
        'openssl pkcs12 -in FILE -nodes -out NEW',
      ),
      blocks: [],
    }
  }
  return {
    finding: finding(
      'FILE_NOT_PEM',
      'the file is binary, and neither a certificate nor a key',
      'give the file that holds the certificate or key itself',
    ),
    blocks: [],
  }
}
