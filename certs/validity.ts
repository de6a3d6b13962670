// From when until when a certificate holds. notBefore lies a day back: a Pi without a clock chip wakes with the time of its last
// shutdown, and a clock set to local time is up to 14 h off; to both, a certificate that begins now would be one from the future.
// Nobody can misuse the day: the key did not exist.
import { AppError } from '../lib/errors.ts'
import type { Role } from './roles.ts'

export const dayMs = 86_400_000
export const backdateMs = 1 * dayMs

/** Default life of each role, in days. */
export const lifeDays: Record<Role, number> = {
  'root-ca': 7305,
  'site-ca': 3653,
  gateway: 366,
  coordinator: 366,
  device: 366,
}

export interface ValidityWish {
  /** Days from now, or from notBefore when that is later. Not together with notAfterMs. */
  days?: number
  notBeforeMs?: number
  notAfterMs?: number
}

export interface Validity {
  notBefore: Date
  notAfter: Date
}

/**
 * The dates to sign. Without a wish a certificate ends with its issuer at the latest; a wish that outlives the issuer is refused
 * (VALIDITY_INVALID, exit 2), as peers would refuse it later, at the site.
 */
export function chooseValidity(role: Role, wish: ValidityWish, nowMs: number, issuer?: Validity): Validity {
  const refuse = (message: string, hint: string) => new AppError('VALIDITY_INVALID', message, { hint, exit: 'usage' })
  if (wish.days !== undefined && wish.notAfterMs !== undefined)
    throw refuse('both days and not-after say when the certificate ends', 'give one of them')
  if (wish.days !== undefined && !(wish.days > 0 && wish.days <= 36_525)) {
    throw refuse(`a certificate cannot be valid for ${wish.days} days`, 'give between 1 and 36525 days')
  }
  const issuerBeginMs = issuer?.notBefore.getTime() ?? -Infinity
  const issuerEndMs = issuer?.notAfter.getTime() ?? Infinity
  if (issuerEndMs <= nowMs && wish.notAfterMs === undefined) {
    throw new AppError('CA_EXPIRED', `the CA that would sign this ${role} certificate expired on ${iso(issuerEndMs)}`, {
      hint: 'make a new one: tidegate certs site SITE --force (or init --force for the root)',
      exit: 'certificate',
    })
  }
  const notBeforeMs = wholeSecond(wish.notBeforeMs ?? Math.max(nowMs - backdateMs, issuerBeginMs))
  // A clock that stands before the issuer's birth (a gateway that woke in 1970) must not produce a certificate that has already ended.
  const fromMs = Math.max(nowMs, notBeforeMs)
  const wishedEndMs = wish.notAfterMs ?? (wish.days === undefined ? undefined : fromMs + wish.days * dayMs)
  const notAfterMs = wholeSecond(wishedEndMs ?? Math.min(fromMs + lifeDays[role] * dayMs, issuerEndMs))
  if (notAfterMs > issuerEndMs) {
    throw refuse(
      `the certificate would end on ${iso(notAfterMs)}, after its issuer (${iso(issuerEndMs)})`,
      'give fewer --days',
    )
  }
  if (!(notBeforeMs < notAfterMs)) {
    throw refuse(
      `the certificate would end (${iso(notAfterMs)}) before it begins (${iso(notBeforeMs)})`,
      'for a certificate of the past give --not-before as well',
    )
  }
  if (notAfterMs > Date.UTC(9999, 11, 31))
    throw refuse('X.509 dates end with the year 9999', 'give an earlier --not-after')
  return { notBefore: new Date(notBeforeMs), notAfter: new Date(notAfterMs) }
}

/** RFC 5280 §4.1.2.5 has no fractions of a second. */
const wholeSecond = (ms: number) => Math.floor(ms / 1000) * 1000

const iso = (ms: number) => (Number.isFinite(ms) ? new Date(ms).toISOString() : String(ms))
