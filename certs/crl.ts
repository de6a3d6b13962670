// Signs the list of a CA's revoked certificates (RFC 5280 §5). Always whole, never a delta, so that any one copy on any path is enough.
import { sign } from 'node:crypto'
import type { CaIndex, IndexEntry } from './ca-index.ts'
import { revocationReasons } from './ca-index.ts'
import { derTags, writeDer, writeDerInteger, writeDerOid, writeDerTime } from './der.ts'
import { toPem } from './encodings.ts'
import { crlNumberOid, ecdsaWithSha256, subjectDerOf } from './revocation.ts'
import { authorityKeyIdentifier } from './sign-certificate.ts'
import type { Issuer } from './sign-certificate.ts'
import { backdateMs, dayMs } from './validity.ts'
import { x509 } from './x509.ts'

export const crlDays = 30
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
  const algorithm = sequence(writeDerOid(ecdsaWithSha256))
  const revoked = index.certificates.filter((entry) => entry.revokedAt !== undefined)
  const keyIdentifier = await authorityKeyIdentifier(new x509.X509Certificate(issuer.certificate.raw))
  const tbs = sequence(
    writeDerInteger('01'), // version 2
    algorithm,
    subjectDerOf(issuer.certificate),
    writeDerTime(nowMs - backdateMs),
    writeDerTime(nowMs + days * dayMs),
    ...(revoked.length === 0 ? [] : [sequence(Buffer.concat(revoked.map(crlEntry)))]),
    writeDer(
      derTags.context0,
      sequence(
        new Uint8Array(keyIdentifier.rawData),
        extension(crlNumberOid, writeDerInteger(index.crlNumber.toString(16))),
      ),
    ),
  )
  const signature = sign('sha256', tbs, issuer.key)
  return toPem('X509 CRL', sequence(tbs, algorithm, writeDer(derTags.bitString, Buffer.from([0]), signature)))
}

function crlEntry({ serial, revokedAt, reason = 'unspecified' }: IndexEntry): Buffer {
  const code = revocationReasons[reason]
  return sequence(
    writeDerInteger(serial),
    writeDerTime(Date.parse(revokedAt as string)),
    // "Unspecified" is said by leaving the reason out (RFC 5280 §5.3.1).
    ...(code === 0 ? [] : [sequence(extension(reasonOid, writeDer(derTags.enumerated, Buffer.from([code]))))]),
  )
}

const sequence = (...contents: readonly Uint8Array[]) => writeDer(derTags.sequence, ...contents)
const extension = (oid: string, value: Buffer) => sequence(writeDerOid(oid), writeDer(derTags.octetString, value))
