// Compact JWS (RFC 7515) with Ed25519 (RFC 8037), through jose. `typ` separates the uses: a receipt can never pass
// for a command, whoever signed it. Keys are named by their RFC 7638 thumbprint.
import {
  calculateJwkThumbprint,
  CompactSign,
  compactVerify,
  decodeProtectedHeader,
  exportJWK,
  importPKCS8,
  importSPKI,
} from 'jose'
import { Refusal } from './refusal.ts'

export type JwsType = 'tg-command' | 'tg-segment' | 'tg-receipt'

type Key = Awaited<ReturnType<typeof importSPKI>>

export interface Signer {
  kid: string
  sign(type: JwsType, payload: unknown): Promise<string>
}

/** A public key and what it may speak for, for example `centre` or a site's id. */
export interface TrustedKey {
  kid: string
  owner: string
  key: Key
}

/** A signer from a PKCS#8 PEM; `publicPem` is the SPKI PEM of the same pair. */
export async function createSigner(privatePem: string, publicPem: string): Promise<Signer> {
  const key = await importPKCS8(privatePem, 'EdDSA')
  const kid = await thumbprint(await importSPKI(publicPem, 'EdDSA', { extractable: true }))
  return {
    kid,
    sign: (typ, payload) =>
      new CompactSign(Buffer.from(JSON.stringify(payload))).setProtectedHeader({ alg: 'EdDSA', kid, typ }).sign(key),
  }
}

export async function loadTrustedKey(publicPem: string, owner: string): Promise<TrustedKey> {
  const key = await importSPKI(publicPem, 'EdDSA', { extractable: true })
  return { kid: await thumbprint(key), owner, key }
}

/**
 * Verifies a compact JWS of the given type against the trusted keys. Returns its payload's bytes and the key that
 * signed it. Throws Refusal: `bad-shape`, `wrong-type`, `unknown-key` or `bad-signature`.
 */
export async function verifyJws(
  jws: string,
  type: JwsType,
  keys: readonly TrustedKey[],
): Promise<{ payload: Uint8Array; signedBy: TrustedKey }> {
  const { kid, typ } = readHeader(jws)
  if (typ !== type) throw new Refusal('wrong-type', `a JWS of type ${String(typ)}, expected ${type}`)
  const signedBy = keys.find((key) => key.kid === kid)
  if (signedBy === undefined) throw new Refusal('unknown-key', `signed by the unknown key ${String(kid).slice(0, 64)}`)
  try {
    const { payload } = await compactVerify(jws, signedBy.key, { algorithms: ['EdDSA', 'Ed25519'] })
    return { payload, signedBy }
  } catch (error) {
    throw new Refusal('bad-signature', `the signature of ${signedBy.owner} does not match`, error)
  }
}

function readHeader(jws: string): { kid?: unknown; typ?: unknown } {
  try {
    return decodeProtectedHeader(jws)
  } catch (error) {
    throw new Refusal('bad-shape', 'not a compact JWS', error)
  }
}

async function thumbprint(key: Key): Promise<string> {
  return calculateJwkThumbprint(await exportJWK(key))
}
