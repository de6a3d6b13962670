// Bearer tokens: 256 random bits, of which only the SHA-256 is stored. Looked up in the store at every request, so that
// a revoked token is refused at once, whichever process revoked it.
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Store, TokenRecord } from '../store/store.ts'

const prefix = 'tgt_'
/** How exactly `last used` is kept: not one write per request. */
const touchEveryMs = 60_000

/** A new token: what is shown once, and what is stored. */
export function createToken(): { id: string; secret: string; sha256: Buffer } {
  const secret = `${prefix}${randomBytes(32).toString('base64url')}`
  return { id: `t-${randomBytes(5).toString('hex')}`, secret, sha256: sha256(secret) }
}

/** The token of an Authorization header when it is valid now; else undefined. */
export async function checkBearer(
  header: string | undefined,
  store: Store,
  nowMs: number,
): Promise<TokenRecord | undefined> {
  const secret = /^Bearer ([A-Za-z0-9_-]{20,200})$/i.exec(header ?? '')?.[1]
  if (secret === undefined) return undefined
  const hash = sha256(secret)
  const token = await store.tokenBySha256(hash)
  if (token === undefined || !timingSafeEqual(token.sha256, hash)) return undefined
  if (token.revokedAtMs !== null || (token.expiresAtMs !== null && token.expiresAtMs <= nowMs)) return undefined
  // Nobody waits for this, and nothing is lost with it.
  if (nowMs - (token.lastUsedAtMs ?? 0) > touchEveryMs) store.touchToken(token.id, nowMs).catch(() => undefined)
  return token
}

function sha256(secret: string): Buffer {
  return createHash('sha256').update(secret).digest()
}
