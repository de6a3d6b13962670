// The only door to @peculiar/x509: it looks for WebCrypto in a global that Node 18 does not have, so Node's own is set here, once.
// All CA and default leaf keys are ECDSA P-256; old devices may bring RSA-2048.
import { generateKeyPair, randomBytes, webcrypto } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import * as x509 from '@peculiar/x509'

x509.cryptoProvider.set(webcrypto)

export { x509 }

export const ecdsaP256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const

export type LeafKeyKind = 'p256' | 'rsa2048'

export interface NewKey {
  /** PKCS#8 PEM. */
  privatePem: string
  privateKey: KeyObject
  publicKey: KeyObject
}

/** A fresh key pair; P-256 takes under a millisecond, RSA-2048 some 50 to 300 ms in a thread of Node's pool. */
export async function newKey(kind: LeafKeyKind | 'ed25519'): Promise<NewKey> {
  const { privateKey, publicKey } = await generate(kind)
  return { privatePem: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string, privateKey, publicKey }
}

function generate(kind: LeafKeyKind | 'ed25519') {
  switch (kind) {
    case 'p256':
      return promisify(generateKeyPair)('ec', { namedCurve: 'P-256' })
    case 'rsa2048':
      return promisify(generateKeyPair)('rsa', { modulusLength: 2048, publicExponent: 0x10001 })
    case 'ed25519':
      return promisify(generateKeyPair)('ed25519')
  }
}

/** The SPKI DER of a public key. */
export const spkiOf = (key: KeyObject): Buffer => key.export({ type: 'spki', format: 'der' })

/** A P-256 private key as the library wants it for signing. */
export function webCryptoKey(key: KeyObject) {
  const der = key.export({ type: 'pkcs8', format: 'der' })
  return webcrypto.subtle.importKey('pkcs8', der, ecdsaP256, false, ['sign'])
}

/**
 * A random serial of 128 bits: hex, positive and minimal in DER as RFC 5280 §4.1.2.2 asks. The two top bits are fixed to 01: then no tool
 * adds or drops a leading byte, and the serial reads the same everywhere.
 */
export function randomSerial(): string {
  const bytes = randomBytes(16)
  bytes[0] = ((bytes[0] as number) & 0x3f) | 0x40
  return bytes.toString('hex')
}
