// Which certificates of one CA are revoked. The list is not handed to Node's TLS: past nextUpdate OpenSSL refuses every peer, and a
// plant that cannot fetch a newer list would lock itself out. Here a stale list still answers and is only said to be stale.
import { verify, X509Certificate } from 'node:crypto'
import { AppError } from '../lib/errors.ts'
import { derChildren, derOid, derSerial, derTags, derTimeMs, expectTag, readDer } from './der.ts'
import type { DerValue } from './der.ts'
import { normalSerial } from './encodings.ts'
import { maxFileBytes } from './files.ts'
import { readPem } from './pem.ts'

/** What every tidegate CA signs with (RFC 5758 §3.2). */
export const ecdsaWithSha256 = '1.2.840.10045.4.3.2'
export const crlNumberOid = '2.5.29.20'

export class RevocationList {
  /** CRL number: a list with a lower one is older and must not replace this one. */
  readonly number: number
  readonly thisUpdateMs: number
  /** Infinity when the CA promised no date. */
  readonly nextUpdateMs: number
  /** CN of the CA. */
  readonly issuerCn: string
  readonly #revoked: ReadonlyMap<string, number>

  private constructor(crl: ParsedCrl, number: number, issuerCn: string) {
    this.number = number
    this.thisUpdateMs = crl.thisUpdateMs
    this.nextUpdateMs = crl.nextUpdateMs
    this.issuerCn = issuerCn
    this.#revoked = crl.revokedAtMs
  }

  /**
   * Reads a CRL (PEM or DER) and checks its signature with the CA's certificate (PEM or DER). Throws CRL_INVALID (exit 6) naming why;
   * dates are not checked, see isStale.
   */
  static load(crl: string | Buffer, ca: string | Buffer): RevocationList {
    const invalid = (why: string, cause?: unknown) =>
      new AppError('CRL_INVALID', `the revocation list cannot be used: ${why}`, {
        hint: 'fetch crl.pem of this site again, or sign it anew: tidegate certs revoke --site SITE --refresh',
        exit: 'certificate',
        cause,
      })
    if (crl.length > maxFileBytes) throw invalid(`it has ${crl.length} bytes, more than ${maxFileBytes}`)
    let issuer: X509Certificate
    try {
      issuer = new X509Certificate(ca)
    } catch (error) {
      throw invalid(`the certificate of its CA cannot be read (${(error as Error).message})`, error)
    }
    try {
      const list = parseCrl(crl)
      if (!list.issuer.equals(subjectDerOf(issuer)) || !list.isSignedBy(issuer)) {
        throw new Error(`it was not signed by the CA it was checked with (${issuer.subject.replaceAll('\n', ', ')})`)
      }
      if (list.strangeExtension !== undefined) {
        throw new Error(`it carries the critical extension ${list.strangeExtension}, which tidegate does not know`)
      }
      if (list.number === undefined)
        throw new Error('it has no CRL number, so an older list could not be told from a newer one')
      const { CN } = issuer.toLegacyObject().subject
      return new RevocationList(list, list.number, String(CN))
    } catch (error) {
      throw invalid((error as Error).message, error)
    }
  }

  /** Whether a certificate of this CA is revoked; serials as Node's `serialNumber` or OpenSSL write them. */
  isRevoked(serial: string): boolean {
    return this.revokedAtMs(serial) !== undefined
  }

  /** When it was revoked, in ms, or undefined. */
  revokedAtMs(serial: string): number | undefined {
    return this.#revoked.get(normalSerial(serial))
  }

  get count(): number {
    return this.#revoked.size
  }

  /** Past nextUpdate: raise an alarm, fetch a newer one, go on using it. */
  isStale(nowMs: number): boolean {
    return nowMs > this.nextUpdateMs
  }
}

export interface ParsedCrl {
  /** DER of the issuer's name. */
  issuer: Buffer
  thisUpdateMs: number
  nextUpdateMs: number
  revokedAtMs: Map<string, number>
  number: number | undefined
  /** OID of a critical extension: it would narrow or extend the list (RFC 5280 §5.2), so it must not be ignored. */
  strangeExtension: string | undefined
  isSignedBy(ca: X509Certificate): boolean
}

/** Reads a CRL (RFC 5280 §5.1), PEM or DER, without checking its signature; throws an Error that says what is wrong. */
export function parseCrl(crl: string | Buffer): ParsedCrl {
  const bytes = Buffer.from(crl)
  const der =
    bytes[0] === derTags.sequence ? bytes : readPem(bytes).blocks.find(({ label }) => label === 'X509 CRL')?.der
  if (der === undefined) throw new Error('it is no PEM with an X509 CRL')
  const [signed, algorithm, signature] = derChildren(expectTag(readDer(der), derTags.sequence))
  const tbs = expectTag(signed, derTags.sequence)
  const fields = derChildren(tbs)
  const takeIf = (...tags: number[]) => (tags.includes(fields[0]?.tag ?? -1) ? fields.shift() : undefined)
  takeIf(derTags.integer) // version
  const algorithmInside = fields.shift()
  const issuer = expectTag(fields.shift(), derTags.sequence)
  const thisUpdateMs = derTimeMs(fields.shift())
  const nextUpdate = takeIf(derTags.utcTime, derTags.generalizedTime)
  const entries = takeIf(derTags.sequence)
  const extensions = extensionsOf(takeIf(derTags.context0))
  if (fields.length > 0) throw new Error('it holds more than a list does')
  if (algorithm === undefined || algorithmInside === undefined || !algorithm.raw.equals(algorithmInside.raw))
    throw new Error('it names two signature algorithms')
  const [unusedBits, ...signatureBytes] = expectTag(signature, derTags.bitString).content
  if (unusedBits !== 0) throw new Error('its signature is not whole')

  const revokedAtMs = new Map<string, number>()
  let strangeExtension = extensions.find(({ isCritical }) => isCritical)?.oid
  for (const entry of entries === undefined ? [] : derChildren(entries)) {
    const [serial, date, more] = derChildren(expectTag(entry, derTags.sequence))
    revokedAtMs.set(derSerial(serial), derTimeMs(date))
    strangeExtension ??= (more === undefined ? [] : extensionList(more)).find(({ isCritical }) => isCritical)?.oid
  }
  const numberExtension = extensions.find(({ oid }) => oid === crlNumberOid)
  const number = numberExtension === undefined ? NaN : Number(`0x${derSerial(readDer(numberExtension.value))}`)
  const [oid] = derChildren(expectTag(algorithm, derTags.sequence))
  const isKnownAlgorithm = derOid(oid) === ecdsaWithSha256
  return {
    issuer: issuer.raw,
    thisUpdateMs,
    nextUpdateMs: nextUpdate === undefined ? Infinity : derTimeMs(nextUpdate),
    revokedAtMs,
    number: Number.isSafeInteger(number) ? number : undefined,
    strangeExtension,
    isSignedBy: (ca) =>
      isKnownAlgorithm &&
      ca.publicKey.asymmetricKeyType === 'ec' &&
      verify('sha256', tbs.raw, ca.publicKey, Buffer.from(signatureBytes)),
  }
}

interface DerExtension {
  oid: string
  isCritical: boolean
  value: Buffer
}

function extensionsOf(explicit: DerValue | undefined): DerExtension[] {
  if (explicit === undefined) return []
  const [list, ...others] = derChildren(explicit)
  if (list === undefined || others.length > 0) throw new Error('its extensions cannot be read')
  return extensionList(list)
}

function extensionList(list: DerValue): DerExtension[] {
  return derChildren(expectTag(list, derTags.sequence)).map((extension) => {
    const parts = derChildren(expectTag(extension, derTags.sequence))
    const critical = parts[1]?.tag === derTags.boolean ? parts.splice(1, 1)[0] : undefined
    return {
      oid: derOid(parts[0]),
      isCritical: critical?.content[0] === 0xff,
      value: expectTag(parts[1], derTags.octetString).content,
    }
  })
}

/** DER of a certificate's subject (RFC 5280 §4.1): Node gives it only as text, in which two different names can look the same. */
export function subjectDerOf(certificate: X509Certificate): Buffer {
  const [tbs] = derChildren(readDer(certificate.raw))
  const fields = derChildren(expectTag(tbs, derTags.sequence))
  if (fields[0]?.tag === derTags.context0) fields.shift()
  return expectTag(fields[4], derTags.sequence).raw // serial, algorithm, issuer, validity, subject
}
