// What Node reports when a handshake fails, in our words.
import type { TLSSocket } from 'node:tls'
import { DeviceRefusal, type BrokerReason } from './reasons.ts'

/** X509 verification results (openssl verify(1)) that a device can cause. */
const verifyReasons: Readonly<Record<string, BrokerReason>> = {
  CERT_HAS_EXPIRED: 'expired',
  CERT_NOT_YET_VALID: 'not-yet-valid',
  UNABLE_TO_GET_ISSUER_CERT: 'unknown-ca',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'unknown-ca',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'unknown-ca',
  SELF_SIGNED_CERT_IN_CHAIN: 'unknown-ca',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'unknown-ca',
  CERT_SIGNATURE_FAILURE: 'unknown-ca',
  INVALID_CA: 'unknown-ca',
  CERT_UNTRUSTED: 'unknown-ca',
}

/** Why a handshake failed: `error` and `socket` as tls.Server's `tlsClientError` gives them. */
export function handshakeRefusal(error: NodeJS.ErrnoException, socket: TLSSocket): DeviceRefusal {
  const verified = socket.authorizationError as string | Error | null | undefined
  const verifyCode = typeof verified === 'string' ? verified : undefined
  if (verifyCode !== undefined) {
    return new DeviceRefusal(verifyReasons[verifyCode] ?? 'tls-failed', `the certificate did not verify: ${verifyCode}`)
  }
  switch (error.code) {
    case 'ERR_TLS_HANDSHAKE_TIMEOUT':
      return new DeviceRefusal('handshake-timeout')
    case 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE':
      return new DeviceRefusal('no-certificate')
    default:
      return new DeviceRefusal('tls-failed', `the TLS handshake failed: ${error.code ?? error.message}`)
  }
}
