// Who a TLS peer is, checked beyond what the handshake proved: a device, of this site, not revoked, not quarantined.
import { X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import { readPeerIdentity } from '../../certs/peer.ts'
import { AppError } from '../../lib/errors.ts'
import type { DeviceId, SiteId } from '../../protocol/ids.ts'
import { DeviceRefusal } from './reasons.ts'

/** certs/revocation.ts gives one from crl.pem. A stale list still counts; whoever loads it raises the alarm. */
export interface Revocations {
  isRevoked(serial: string): boolean
}

export interface DevicePeer {
  device: DeviceId
  serial: string
  notAfterMs: number
}

/** The certificates in a PEM bundle that may issue devices of this site. Throws AppError SITE_CA_MISSING. */
export function siteCas(bundlePem: string, site: SiteId): X509Certificate[] {
  const blocks = bundlePem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  const found = blocks
    .map((pem) => new X509Certificate(pem))
    .filter(({ subject }) => {
      const names = subject.split('\n')
      return names.includes('OU=site-ca') && names.includes(`CN=${site}`)
    })
  if (found.length > 0) return found
  throw new AppError('SITE_CA_MISSING', `devices.ca holds no certificate of the CA of site ${site}`, {
    exit: 'certificate',
    hint: 'put pki/sites/<site>/ca.pem and pki/root/ca.pem into one file',
  })
}

/** Throws DeviceRefusal unless the peer is a device that may speak here. */
export function admit(
  socket: TLSSocket,
  cas: readonly X509Certificate[],
  revocations: Revocations | undefined,
  isQuarantined: (device: DeviceId) => boolean,
): DevicePeer {
  let peer
  try {
    peer = readPeerIdentity(socket)
  } catch (error) {
    throw new DeviceRefusal('not-a-device', (error as Error).message)
  }
  if (peer.role !== 'device') throw new DeviceRefusal('not-a-device', `the certificate of ${peer.role} ${peer.id}`)
  const leaf = socket.getPeerX509Certificate()
  // The signature itself, not the names or fingerprints that the peer's own chain suggests.
  if (leaf === undefined || !cas.some((ca) => leaf.checkIssued(ca) && leaf.verify(ca.publicKey))) {
    throw new DeviceRefusal('unknown-ca', `the certificate of ${peer.id} was issued by ${peer.issuerCn}`)
  }
  if (revocations?.isRevoked(peer.serial)) {
    throw new DeviceRefusal('revoked', `certificate ${peer.serial} of ${peer.id} is revoked`)
  }
  const device = peer.id as DeviceId
  if (isQuarantined(device)) throw new DeviceRefusal('quarantined', `${device} is quarantined`)
  return { device, serial: peer.serial, notAfterMs: peer.notAfterMs }
}
