// Which certificates of one CA are revoked. The list is not handed to Node's TLS: past nextUpdate OpenSSL refuses every peer, and a
// plant that cannot fetch a newer list would lock itself out. Here a stale list still answers and is only said to be stale.
import { X509Certificate } from 'node:crypto'
import { AppError } from '../lib/errors.ts'
import { crlNumberOf } from './crl.ts'
import { maxFileBytes } from './files.ts'
import { normalSerial, x509 } from './x509.ts'

/** Critical extensions would narrow or extend the list (RFC 5280 §5.2.4, §5.2.5); we sign none and must not ignore one. */
const knownExtensions = new Set(['2.5.29.20', '2.5.29.35'])

export class RevocationList {
  /** CRL number: a list with a lower one is older and must not replace this one. */
  readonly number: number
  readonly thisUpdateMs: number
  /** Infinity when the CA promised no date. */
  readonly nextUpdateMs: number
  /** CN of the CA. */
  readonly issuerCn: string
  readonly #revoked: ReadonlyMap<string, number>

  private constructor(crl: x509.X509Crl, number: number) {
    this.number = number
    this.thisUpdateMs = crl.thisUpdate.getTime()
    this.nextUpdateMs = crl.nextUpdate?.getTime() ?? Infinity
    this.issuerCn = crl.issuerName.getField('CN')[0] ?? ''
    this.#revoked = new Map(
      crl.entries.map((entry) => [normalSerial(entry.serialNumber), entry.revocationDate.getTime()]),
    )
  }

  /**
   * Reads a CRL (PEM or DER) and checks its signature with the CA's certificate (PEM or DER). Throws CRL_INVALID (exit 6) naming why;
   * dates are not checked, see isStale.
   */
  static async load(crl: string | Buffer, ca: string | Buffer): Promise<RevocationList> {
    const invalid = (why: string, cause?: unknown) =>
      new AppError('CRL_INVALID', `the revocation list cannot be used: ${why}`, {
        hint: 'fetch crl.pem of this site again, or sign it anew: tidegate certs revoke --site SITE --refresh',
        exit: 'certificate',
        cause,
      })
    if (crl.length > maxFileBytes) throw invalid(`it has ${crl.length} bytes, more than ${maxFileBytes}`)
    let issuer: X509Certificate
    let list: x509.X509Crl
    try {
      issuer = new X509Certificate(ca)
    } catch (error) {
      throw invalid(`the certificate of its CA cannot be read (${(error as Error).message})`, error)
    }
    try {
      list = parseCrl(crl)
      const key = new x509.X509Certificate(issuer.raw).publicKey
      if (!(await list.verify({ publicKey: key })))
        throw new Error(`it was not signed by the CA it was checked with (${oneLine(issuer.subject)})`)
      const strange = list.extensions.find((extension) => extension.critical && !knownExtensions.has(extension.type))
      if (strange !== undefined)
        throw new Error(`it carries the critical extension ${strange.type}, which tidegate does not know`)
      const number = crlNumberOf(list)
      if (number === undefined)
        throw new Error('it has no CRL number, so an older list could not be told from a newer one')
      return new RevocationList(list, number)
    } catch (error) {
      throw invalid((error as Error).message, error)
    }
  }

  /** Whether a certificate of this CA is revoked; serials as Node's `serialNumber` or OpenSSL write them. */
  isRevoked(serial: string): boolean {
    return this.#revoked.has(normalSerial(serial))
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

/** Reads the structure of a CRL, PEM or DER, without checking its signature; throws what the parser throws. */
export function parseCrl(crl: string | Buffer): x509.X509Crl {
  const bytes = Buffer.from(crl)
  return new x509.X509Crl(bytes[0] === 0x30 ? bytes : x509.PemConverter.decodeFirst(bytes.toString('latin1')))
}

const oneLine = (subject: string) => subject.replaceAll('\n', ', ')
