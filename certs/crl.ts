// Signs the list of a CA's revoked certificates (RFC 5280 §5). Always whole, never a delta, so that any one copy on any path is enough.
import type { CaIndex, IndexEntry } from './ca-index.ts'
import { revocationReasons } from './ca-index.ts'
import { toPem } from './encodings.ts'
import { authorityKeyIdentifier } from './sign-certificate.ts'
import type { Issuer } from './sign-certificate.ts'
import { backdateMs, dayMs } from './validity.ts'
import { ecdsaP256, x509 } from './x509.ts'

export const crlDays = 30
const crlNumberOid = '2.5.29.20'
const reasonOid = '2.5.29.21'

/**
 * The CRL of `index` as PEM. thisUpdate lies a day back for the same clocks as notBefore does; nextUpdate is `days` ahead, and for
 * tidegate only a reminder: other software (mosquitto, nginx) refuses everybody after it.
 */
export async function signCrl(
  index: CaIndex,
  issuer: Issuer,
  { nowMs, days = crlDays }: { nowMs: number; days?: number },
): Promise<string> {
  const issuedBy = new x509.X509Certificate(issuer.certificate.raw)
  const crl = await x509.X509CrlGenerator.create({
    issuer: issuedBy.subjectName,
    thisUpdate: new Date(nowMs - backdateMs),
    nextUpdate: new Date(nowMs + days * dayMs),
    signingAlgorithm: ecdsaP256,
    signingKey: issuer.key,
    entries: index.certificates.filter((entry) => entry.revokedAt !== undefined).map(crlEntry),
    extensions: [
      await authorityKeyIdentifier(issuedBy),
      new x509.Extension(crlNumberOid, false, derInteger(index.crlNumber)),
    ],
  })
  return toPem('X509 CRL', crl.rawData)
}

function crlEntry(entry: IndexEntry): x509.X509CrlEntryParams {
  return {
    serialNumber: entry.serial,
    revocationDate: new Date(entry.revokedAt as string),
    // Written as an extension of our own: the library leaves an empty list, which OpenSSL refuses, for reason 0.
    extensions: [
      new x509.Extension(reasonOid, false, Buffer.from([0x0a, 1, revocationReasons[entry.reason ?? 'unspecified']])),
    ],
  }
}

/** DER INTEGER of a non-negative safe integer. */
function derInteger(value: number): Buffer {
  let hex = value.toString(16)
  if (hex.length % 2 === 1) hex = `0${hex}`
  if (Number.parseInt(hex.slice(0, 2), 16) > 0x7f) hex = `00${hex}`
  const bytes = Buffer.from(hex, 'hex')
  return Buffer.concat([Buffer.from([0x02, bytes.length]), bytes])
}
