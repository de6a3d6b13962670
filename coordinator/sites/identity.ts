// Who calls on the sites' listener. TLS proved the chain to the root; here the certificate must be a gateway's, and
// its site the one that the URL names. A site's CA can not speak for another site (certs/peer.ts checks the issuer).
import type { TLSSocket } from 'node:tls'
import { readPeerIdentity } from '../../certs/peer.ts'
import { AppError } from '../../lib/errors.ts'
import { SiteId } from '../../protocol/ids.ts'
import type { Revocations } from './revocation.ts'

/** The site at the other end. Throws AppError: codes of readPeerIdentity, PEER_NOT_A_GATEWAY, PEER_REVOKED. */
export function siteOfPeer(socket: TLSSocket, revocations: Revocations): SiteId {
  const identity = readPeerIdentity(socket)
  if (identity.role !== 'gateway') {
    throw new AppError('PEER_NOT_A_GATEWAY', `the certificate is that of a ${identity.role}, ${identity.id}`, {
      hint: 'only gateways call here: use the certificate in sites/<site>/gateway',
      exit: 'certificate',
    })
  }
  const revoked = revocations.revokedIn(socket.getPeerCertificate(true))
  if (revoked !== undefined) {
    throw new AppError('PEER_REVOKED', `the certificate is revoked: ${revoked}`, {
      hint: 'issue a new one with tidegate certs server',
      exit: 'certificate',
    })
  }
  return SiteId.parse(identity.id)
}
