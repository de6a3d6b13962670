// What is wrong with the certificates of one file: dates, role, usage, names, key, chain, revocation. What peers would refuse in a
// handshake with one word, this says in a sentence.
import { createPublicKey, sign, verify, X509Certificate } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { isIP } from 'node:net'
import { AppError } from '../lib/errors.ts'
import { keyWeakness } from './csr.ts'
import { finding } from './findings.ts'
import type { Finding } from './findings.ts'
import { identityOf } from './peer.ts'
import type { RevocationList } from './revocation.ts'
import { isIdOfRole, isRole, serverAuth, usagesOfRole } from './roles.ts'
import type { Role } from './roles.ts'
import { dayMs } from './validity.ts'
import { x509 } from './x509.ts'

const expiresSoonMs = 30 * dayMs

export interface CertificateContext {
  nowMs: number
  /** Certificates lying near or given: roots, and site CAs. */
  trust: readonly X509Certificate[]
  revocation: readonly { list: RevocationList; ca: X509Certificate }[]
  /** The private key that lies beside. */
  key?: KeyObject
  /** What the certificate should be. */
  role?: Role
  /** Name or address that a peer dials. */
  dialled?: string
}

export interface CertificateReport {
  facts: string[]
  findings: Finding[]
}

/** The certificates of one file, in file order; the first is the one the file is about. */
export function inspectCertificates(ders: readonly Buffer[], context: CertificateContext): CertificateReport {
  const findings: Finding[] = []
  const certificates: X509Certificate[] = []
  for (const [index, der] of ders.entries()) {
    try {
      certificates.push(new X509Certificate(der))
    } catch (error) {
      findings.push(
        finding(
          'CERTIFICATE_UNREADABLE',
          `${ordinal(index, ders)} cannot be read: ${(error as Error).message}`,
          'fetch the file again from where it was issued',
        ),
      )
    }
  }
  const facts = certificates.map(describe)
  const areAllCas = certificates.every(isCaByRole)
  for (const [index, certificate] of certificates.entries()) {
    findings.push(
      ...inspectDates(certificate, context.nowMs),
      ...inspectStrength(certificate),
      ...inspectSubject(certificate),
      ...inspectRevocation(certificate, context),
    )
    const isLast = index === certificates.length - 1
    if (!isLast && !areAllCas) findings.push(...inspectLink(index, certificates))
    if (isLast || areAllCas) findings.push(...inspectAnchor(certificate, certificates, context.trust))
  }
  const [first] = certificates
  if (first !== undefined) findings.push(...inspectPurpose(first, context), ...inspectKeyPair(first, context.key))
  return { facts, findings: withoutRepeats(findings) }
}

const ordinal = (index: number, all: readonly unknown[]) =>
  all.length === 1 ? 'the certificate' : `certificate ${index + 1} of ${all.length}`

interface NameParts {
  cn: string[]
  ou: string[]
}

function namesIn(certificate: X509Certificate, which: 'subjectName' | 'issuerName'): NameParts {
  try {
    const name = new x509.X509Certificate(certificate.raw)[which]
    return { cn: name.getField('CN'), ou: name.getField('OU') }
  } catch {
    return { cn: [], ou: [] }
  }
}

const subjectOf = (certificate: X509Certificate) => namesIn(certificate, 'subjectName')
const inWords = ({ cn, ou }: NameParts) => `${ou.join('+') || '(no OU)'} ${cn.join('+') || '(no CN)'}`
const nameOf = (certificate: X509Certificate) => inWords(subjectOf(certificate))
const issuerNameOf = (certificate: X509Certificate) => inWords(namesIn(certificate, 'issuerName'))

/** The role its OU states, when it is one of ours. */
export function roleOf(certificate: X509Certificate): Role | undefined {
  const { ou } = subjectOf(certificate)
  return ou.length === 1 && isRole(ou[0]) ? ou[0] : undefined
}

const isCaByRole = (certificate: X509Certificate) =>
  ['root-ca', 'site-ca'].includes(roleOf(certificate) ?? '') || certificate.ca

function describe(certificate: X509Certificate): string {
  const days = `${day(Date.parse(certificate.validFrom))} to ${day(Date.parse(certificate.validTo))}`
  const names = certificate.subjectAltName === undefined ? '' : `, answers to ${namesOf(certificate).join(', ')}`
  return `certificate of ${nameOf(certificate)}, signed by ${issuerNameOf(certificate)}, valid ${days}${names}, serial ${certificate.serialNumber.toLowerCase()}`
}

const day = (ms: number) =>
  Number.isNaN(ms) ? 'an unreadable date' : new Date(ms).toISOString().slice(0, 16).replace('T', ' ') + 'Z'

function namesOf(certificate: X509Certificate): string[] {
  return (certificate.subjectAltName ?? '').split(', ').map((name) => name.replace(/^(DNS|IP Address):/, ''))
}

function inspectDates(certificate: X509Certificate, nowMs: number): Finding[] {
  const beginsMs = Date.parse(certificate.validFrom)
  const endsMs = Date.parse(certificate.validTo)
  const who = nameOf(certificate)
  if (Number.isNaN(beginsMs) || Number.isNaN(endsMs))
    return [
      finding(
        'CERTIFICATE_UNREADABLE',
        `the dates of ${who} cannot be read`,
        'fetch the file again from where it was issued',
      ),
    ]
  if (nowMs < beginsMs)
    return [
      finding(
        'CERTIFICATE_NOT_YET_VALID',
        `${who} is valid from ${day(beginsMs)}, and here it is ${day(nowMs)}`,
        'set the clock of this machine (timedatectl)',
      ),
    ]
  if (nowMs > endsMs) {
    return [
      finding(
        'CERTIFICATE_EXPIRED',
        `${who} expired on ${day(endsMs)}; here it is ${day(nowMs)}`,
        `if the clock is right, issue it again: ${reissue(certificate)}`,
      ),
    ]
  }
  if (endsMs - nowMs < expiresSoonMs) {
    return [
      finding(
        'CERTIFICATE_EXPIRES_SOON',
        `${who} expires in ${Math.floor((endsMs - nowMs) / dayMs)} days, on ${day(endsMs)}`,
        `issue it again: ${reissue(certificate)}`,
      ),
    ]
  }
  return []
}

/** The command that makes this certificate anew, as far as it can be told from it. */
function reissue(certificate: X509Certificate): string {
  const { cn } = subjectOf(certificate)
  const site = namesIn(certificate, 'issuerName').cn[0] ?? 'SITE'
  switch (roleOf(certificate)) {
    case 'device':
      return `tidegate certs issue --site ${site} ${cn[0]} --force`
    case 'gateway':
      return `tidegate certs server --role gateway --site ${site} --dns NAME --ip ADDRESS --force`
    case 'coordinator':
      return 'tidegate certs server --role coordinator --dns NAME --ip ADDRESS --force'
    case 'site-ca':
      return `tidegate certs site ${cn[0]} --force`
    default:
      return 'tidegate certs --help'
  }
}

function inspectStrength(certificate: X509Certificate): Finding[] {
  const findings: Finding[] = []
  try {
    const weakness = keyWeakness(certificate.publicKey)
    if (weakness !== undefined)
      findings.push(finding('KEY_WEAK', `the key of ${nameOf(certificate)} is ${weakness}`, reissue(certificate)))
  } catch (error) {
    findings.push(
      finding(
        'CERTIFICATE_UNREADABLE',
        `the public key of ${nameOf(certificate)} cannot be read: ${(error as Error).message}`,
        'fetch the file again from where it was issued',
      ),
    )
  }
  const algorithm = signatureAlgorithmOf(certificate)
  if (algorithm !== undefined && weakSignatures.has(algorithm)) {
    findings.push(
      finding(
        'SIGNATURE_WEAK',
        `${nameOf(certificate)} is signed with ${weakSignatures.get(algorithm)}, which can be forged`,
        reissue(certificate),
      ),
    )
  }
  return findings
}

const weakSignatures = new Map([
  ['SHA-1', 'SHA-1'],
  ['1.2.840.113549.1.1.4', 'MD5'],
  ['1.2.840.113549.1.1.2', 'MD2'],
])

function signatureAlgorithmOf(certificate: X509Certificate): string | undefined {
  try {
    const { hash, name } = new x509.X509Certificate(certificate.raw).signatureAlgorithm as unknown as {
      name: string
      hash?: { name: string }
    }
    return hash?.name ?? name
  } catch {
    return undefined // an algorithm the library does not know; the chain check says whether it verifies
  }
}

function inspectSubject(certificate: X509Certificate): Finding[] {
  const { cn, ou } = subjectOf(certificate)
  const role = roleOf(certificate)
  if (role === undefined || cn.length !== 1 || !isIdOfRole(cn[0] as string, role)) {
    const stated = `CN=${JSON.stringify(cn.join('+'))} OU=${JSON.stringify(ou.join('+'))}`
    return [
      finding(
        'SUBJECT_INVALID',
        `the subject (${stated}) names nothing that tidegate knows: CN is the id, OU one of device, gateway, coordinator, site-ca, root-ca`,
        'issue one with tidegate certs issue or tidegate certs server',
      ),
    ]
  }
  const findings: Finding[] = []
  const isCa = role === 'root-ca' || role === 'site-ca'
  if (certificate.ca !== isCa) {
    findings.push(
      finding(
        'CA_FLAG_WRONG',
        isCa
          ? `${nameOf(certificate)} may not sign certificates: its basic constraints do not say CA`
          : `${nameOf(certificate)} could sign certificates: its basic constraints say CA`,
        reissue(certificate),
      ),
    )
  }
  if (isCa) return findings
  const usages = certificate.keyUsage ?? []
  const missing = usagesOfRole[role].filter((usage) => !usages.includes(usage))
  if (missing.length > 0) {
    findings.push(
      finding(
        'USAGE_WRONG',
        `${nameOf(certificate)} may not act as TLS ${missing.map((usage) => (usage === serverAuth ? 'server' : 'client')).join(' and ')} (extended key usage)`,
        reissue(certificate),
      ),
    )
  }
  if (role === 'device' && usages.includes(serverAuth)) {
    findings.push(
      finding(
        'USAGE_WRONG',
        `${nameOf(certificate)} may act as TLS server, so a stolen device could pose as one`,
        reissue(certificate),
      ),
    )
  }
  if (usagesOfRole[role].includes(serverAuth) && certificate.subjectAltName === undefined) {
    findings.push(
      finding(
        'NAME_MISSING',
        `${nameOf(certificate)} answers to no name (subjectAltName), so nobody can dial it`,
        reissue(certificate),
      ),
    )
  }
  try {
    identityOf(certificate.toLegacyObject())
  } catch (error) {
    if (error instanceof AppError && error.code === 'PEER_ISSUER_INVALID')
      findings.push(finding('ISSUER_INVALID', error.message, error.hint ?? ''))
  }
  return findings
}

function inspectPurpose(certificate: X509Certificate, { role, dialled }: CertificateContext): Finding[] {
  const findings: Finding[] = []
  const own = roleOf(certificate)
  if (role !== undefined && own !== undefined && own !== role) {
    findings.push(
      finding(
        'ROLE_WRONG',
        `this is the certificate of a ${own}, and a ${role} was expected`,
        'give the file of the right folder',
      ),
    )
  }
  if (dialled !== undefined) {
    const isNamed =
      isIP(dialled) === 0 ? certificate.checkHost(dialled, { subject: 'never' }) : certificate.checkIP(dialled)
    if (isNamed === undefined) {
      const names =
        certificate.subjectAltName === undefined ? 'no name at all' : `only ${namesOf(certificate).join(', ')}`
      findings.push(
        finding(
          'NAME_MISSING',
          `peers that dial ${dialled} will refuse it: it answers to ${names}`,
          `dial one of its names, or issue it again with ${isIP(dialled) === 0 ? '--dns' : '--ip'} ${dialled} and all its other names`,
        ),
      )
    }
  }
  return findings
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)
  } catch {
    return false
  }
}

function inspectLink(index: number, all: readonly X509Certificate[]): Finding[] {
  const certificate = all[index] as X509Certificate
  const next = all[index + 1] as X509Certificate
  if (isIssuedBy(certificate, next)) return []
  const issuerAt = all.findIndex((other) => other !== certificate && isIssuedBy(certificate, other))
  if (issuerAt >= 0)
    return [
      finding(
        'CHAIN_ORDER',
        `certificate ${index + 1} was signed by certificate ${issuerAt + 1}, but number ${index + 2} follows it`,
        'put the certificate of the device or server first, then the CA that signed it',
      ),
    ]
  return [
    finding(
      'CHAIN_BROKEN',
      `${nameOf(certificate)} was not signed by ${nameOf(next)}, which follows it (or was changed after it was signed)`,
      'put the CA that signed it after it, or fetch the file again',
    ),
  ]
}

/** Follows the issuers of a certificate up to a root that is in the file or at hand. */
function inspectAnchor(
  certificate: X509Certificate,
  inFile: readonly X509Certificate[],
  trust: readonly X509Certificate[],
): Finding[] {
  const findings: Finding[] = []
  let current = certificate
  for (let depth = 0; depth < 5; depth += 1) {
    if (isIssuedBy(current, current)) {
      if (isCaByRole(current)) return findings
      return [
        finding(
          'ISSUER_UNKNOWN',
          `${nameOf(current)} is signed by itself, so no peer can tell where it comes from`,
          reissue(current),
        ),
      ]
    }
    const isIssuer = (other: X509Certificate) => !other.raw.equals(current.raw) && isIssuedBy(current, other)
    const issuer = inFile.find(isIssuer) ?? trust.find(isIssuer)
    if (issuer === undefined) break
    if (!inFile.includes(issuer) && !isIssuedBy(issuer, issuer)) {
      findings.push(
        finding(
          'CHAIN_INCOMPLETE',
          `the file lacks the certificate of ${nameOf(issuer)}; peers that know only the root will refuse it`,
          'append ca.pem of that site to the file',
        ),
      )
    }
    current = issuer
  }
  if (trust.length === 0 && inFile.length === 1) {
    return [
      ...findings,
      finding(
        'CHAIN_UNCHECKED',
        `no CA was at hand to check the signature on ${nameOf(current)}`,
        'give the root: --ca root/ca.pem',
      ),
    ]
  }
  return [
    ...findings,
    finding(
      'ISSUER_UNKNOWN',
      `none of the CAs at hand signed ${nameOf(current)}; it states ${issuerNameOf(current)} (or it was changed after it was signed)`,
      'give the right root with --ca, or issue the certificate from the CA that the peers know',
    ),
  ]
}

function inspectRevocation(certificate: X509Certificate, { revocation }: CertificateContext): Finding[] {
  return revocation
    .filter(({ ca, list }) => isIssuedBy(certificate, ca) && list.isRevoked(certificate.serialNumber))
    .map(({ list }) =>
      finding(
        'CERTIFICATE_REVOKED',
        `${nameOf(certificate)} was revoked on ${day(list.revokedAtMs(certificate.serialNumber) as number)} (CRL ${list.number} of ${list.issuerCn})`,
        `issue a new one: ${reissue(certificate)}`,
      ),
    )
}

function inspectKeyPair(certificate: X509Certificate, key: KeyObject | undefined): Finding[] {
  if (key === undefined || signsFor(key, certificate.publicKey)) return []
  return [
    finding(
      'KEY_MISMATCH',
      `the private key beside it does not belong to ${nameOf(certificate)}`,
      'fetch certificate and key together from one folder',
    ),
  ]
}

/** Whether what `privateKey` signs verifies with `publicKey`: sees a damaged private key too, which comparing public parts does not. */
export function signsFor(privateKey: KeyObject, publicKey: KeyObject): boolean {
  const challenge = Buffer.from('tidegate certs inspect')
  try {
    const hash = publicKey.asymmetricKeyType === 'ed25519' ? null : 'sha256'
    return (
      verify(hash, challenge, publicKey, sign(hash, challenge, privateKey)) &&
      createPublicKey(privateKey).equals(publicKey)
    )
  } catch {
    return false
  }
}

function withoutRepeats(findings: Finding[]): Finding[] {
  return [...new Map(findings.map((one) => [`${one.code} ${one.message}`, one])).values()]
}
