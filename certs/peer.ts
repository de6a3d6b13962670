// Who is at the other end of a TLS connection. Pure node:tls, because the agent's bundle carries this file. The handshake proves the
// chain to a root; this adds what the chain alone does not: that a site's CA speaks only for its own gateway and for devices, so that
// one site cannot pose as another or as the coordinator.
import type { DetailedPeerCertificate, PeerCertificate, TLSSocket } from 'node:tls'
import { AppError } from '../lib/errors.ts'
import { normalFingerprint, normalSerial } from './encodings.ts'
import { isIdOfRole, isRole } from './roles.ts'
import type { Role } from './roles.ts'

export interface PeerIdentity {
  /** CN: device id, or site id for a gateway. */
  id: string
  role: 'device' | 'gateway' | 'coordinator'
  /** Lower-case hex without leading zeros, as RevocationList takes it. */
  serial: string
  notBeforeMs: number
  notAfterMs: number
  /** SHA-256 of the certificate, lower-case hex. */
  fingerprint256: string
  /**
   * The same of the CA that signed it; null on a resumed TLS session whose server was not given that CA in `ca` (Node keeps only the
   * leaf with a session). Who compares it, as a gateway must with its own site CA, lists the site CA in `ca` and gets it always.
   */
  issuerFingerprint256: string | null
  /** CN of the issuer: the site id of a device's or gateway's CA. */
  issuerCn: string
  issuerRole: 'site-ca' | 'root-ca'
}

/**
 * The verified peer of a connection after its handshake. Throws AppError (exit 6): PEER_NOT_VERIFIED when Node did not verify the chain,
 * PEER_NO_CERTIFICATE, PEER_SESSION_RESUMED on a client that resumed a session (Node then has no certificate: connect without one),
 * PEER_SUBJECT_INVALID or PEER_ISSUER_INVALID.
 */
export function readPeerIdentity(socket: TLSSocket): PeerIdentity {
  const certificate = socket.getPeerCertificate(true)
  const hasCertificate = Object.keys(certificate).length > 0
  if (!hasCertificate && socket.isSessionReused()) {
    throw refuse(
      'PEER_SESSION_RESUMED',
      'the TLS session was resumed, and then Node cannot tell whose it is',
      'connect without a cached session (undici: maxCachedSessions 0)',
    )
  }
  if (!hasCertificate)
    throw refuse(
      'PEER_NO_CERTIFICATE',
      'the peer showed no certificate',
      'give it the certificate that was issued to it',
    )
  if (!socket.authorized) {
    throw refuse(
      'PEER_NOT_VERIFIED',
      `the certificate of ${nameOf(certificate)} did not verify: ${String(socket.authorizationError)}`,
      'tidegate certs inspect cert.pem --ca root.pem tells why',
    )
  }
  return identityOf(certificate)
}

/** The identity a certificate states; whether it may state it is the caller's to verify. Throws as readPeerIdentity does. */
export function identityOf(certificate: PeerCertificate | DetailedPeerCertificate): PeerIdentity {
  const { CN: id, OU: role } = certificate.subject
  if (typeof id !== 'string' || typeof role !== 'string' || !isRole(role) || !isIdOfRole(id, role)) {
    throw refuse(
      'PEER_SUBJECT_INVALID',
      `the certificate names nobody that tidegate knows: ${nameOf(certificate)}`,
      'issue one with tidegate certs issue or tidegate certs server',
    )
  }
  if (!isLeaf(role)) {
    throw refuse(
      'PEER_SUBJECT_INVALID',
      `the peer showed the certificate of a CA (${nameOf(certificate)}), not its own`,
      'configure cert.pem, not ca.pem',
    )
  }
  const { CN: issuerCn, OU: issuerRole } = certificate.issuer
  const expected = role === 'coordinator' ? 'root-ca' : 'site-ca'
  if (typeof issuerCn !== 'string' || issuerRole !== expected || (role === 'gateway' && issuerCn !== id)) {
    throw refuse(
      'PEER_ISSUER_INVALID',
      `a certificate of ${role} ${id} was signed by CN=${show(issuerCn)} OU=${show(issuerRole)}, which may not sign for it`,
      'treat the CA that signed it as compromised: tidegate certs revoke --role site-ca SITE',
    )
  }
  const issuer =
    'issuerCertificate' in certificate ? (certificate.issuerCertificate as PeerCertificate | undefined) : undefined
  return {
    id,
    role,
    serial: normalSerial(certificate.serialNumber),
    notBeforeMs: Date.parse(certificate.valid_from),
    notAfterMs: Date.parse(certificate.valid_to),
    fingerprint256: normalFingerprint(certificate.fingerprint256),
    issuerFingerprint256: issuer?.fingerprint256 === undefined ? null : normalFingerprint(issuer.fingerprint256),
    issuerCn,
    issuerRole: expected,
  }
}

function isLeaf(role: Role): role is PeerIdentity['role'] {
  return role === 'device' || role === 'gateway' || role === 'coordinator'
}

/** Untrusted text for a message: quoted, bounded, without control characters. */
const show = (value: unknown) => JSON.stringify(value ?? null).slice(0, 80)

const nameOf = (certificate: PeerCertificate) =>
  `CN=${show(certificate.subject?.CN)} OU=${show(certificate.subject?.OU)}`

function refuse(code: string, message: string, hint: string): AppError {
  return new AppError(code, message, { hint, exit: 'certificate' })
}
