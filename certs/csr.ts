// A device that made its own key asks with a PKCS#10 request (RFC 2986). Only the public key is taken from it: the subject is ours to give.
import { createPublicKey } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { AppError } from '../lib/errors.ts'
import { readPem } from './pem.ts'
import { x509 } from './x509.ts'

const maxCsrBytes = 64 * 1024

/**
 * The public key of a request, PEM or DER, whose signature proves that the sender has the private key. Throws CSR_INVALID for anything
 * else, and CSR_KEY_REFUSED for keys other than P-256, P-384 or RSA of 2048 to 4096 bits (exit 6).
 */
export async function publicKeyOfCsr(csr: Buffer | string): Promise<KeyObject> {
  const invalid = (why: string, cause?: unknown) =>
    new AppError('CSR_INVALID', `the certificate request cannot be used: ${why}`, {
      hint: 'make one with: openssl req -new -key key.pem -subj /CN=device -out device.csr',
      exit: 'certificate',
      cause,
    })
  if (csr.length > maxCsrBytes) throw invalid(`it has more than ${maxCsrBytes} bytes`)
  const bytes = Buffer.from(csr)
  let request: x509.Pkcs10CertificateRequest
  let isProven: boolean
  try {
    const der =
      bytes[0] === 0x30 ? bytes : readPem(bytes).blocks.find(({ label }) => label.endsWith('CERTIFICATE REQUEST'))?.der
    if (der === undefined) throw new Error('no CERTIFICATE REQUEST block')
    request = new x509.Pkcs10CertificateRequest(der)
    isProven = await request.verify()
  } catch (error) {
    throw invalid(`it is not a PKCS#10 request (${(error as Error).message})`, error)
  }
  if (!isProven)
    throw invalid('its signature does not match its key, so nothing proves that the sender has the private key')
  let key: KeyObject
  try {
    key = createPublicKey({ key: Buffer.from(request.publicKey.rawData), format: 'der', type: 'spki' })
  } catch (error) {
    throw invalid(`its public key cannot be read (${(error as Error).message})`, error)
  }
  const weakness = keyWeakness(key)
  if (weakness === undefined) return key
  throw new AppError('CSR_KEY_REFUSED', `the key of the certificate request is ${weakness}`, {
    hint: 'use an ECDSA P-256 key, or RSA with 2048 bits',
    exit: 'certificate',
  })
}

/** What is wrong with a key for TLS certificates, in words, or undefined. */
export function keyWeakness(key: KeyObject): string | undefined {
  const { modulusLength = 0, publicExponent = 0n, namedCurve = '' } = key.asymmetricKeyDetails ?? {}
  switch (key.asymmetricKeyType) {
    case 'ec':
      return ['prime256v1', 'secp384r1'].includes(namedCurve)
        ? undefined
        : `on the curve ${namedCurve || '(given by its parameters)'}, not P-256 or P-384`
    case 'rsa':
      if (modulusLength < 2048) return `RSA with ${modulusLength} bits, fewer than 2048`
      if (modulusLength > 4096)
        return `RSA with ${modulusLength} bits, more than 4096: every handshake would cost the gateway too much`
      return publicExponent < 0x10001n ? `RSA with the public exponent ${publicExponent}, below 65537` : undefined
    default:
      return `of the kind ${key.asymmetricKeyType ?? 'unknown'}, not ECDSA or RSA`
  }
}
