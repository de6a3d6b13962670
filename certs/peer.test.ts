import type { PeerCertificate, TLSSocket } from 'node:tls'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AppError } from '../lib/errors.ts'
import { identityOf, readPeerIdentity } from './peer.ts'

const site = { CN: 'plant-a', OU: 'site-ca', O: 'Acme' }
const root = { CN: 'Acme root', OU: 'root-ca', O: 'Acme' }

function peerCertificate(subject: Record<string, unknown>, issuer: Record<string, unknown> = site): PeerCertificate {
  return {
    subject: { O: 'Acme', ...subject },
    issuer,
    serialNumber: '00AB12',
    valid_from: 'Nov 23 22:48:07 2026 GMT',
    valid_to: 'Nov 25 22:48:07 2027 GMT',
    fingerprint256: 'AA:BB',
    issuerCertificate: { fingerprint256: 'CC:DD' },
  } as unknown as PeerCertificate
}

describe('identityOf', () => {
  test('reads who a device is, and which CA vouches for it', () => {
    expect(identityOf(peerCertificate({ CN: 'press-07', OU: 'device' }))).toEqual({
      id: 'press-07',
      role: 'device',
      serial: 'ab12',
      notBeforeMs: Date.parse('2026-11-23T22:48:07Z'),
      notAfterMs: Date.parse('2027-11-25T22:48:07Z'),
      fingerprint256: 'aabb',
      issuerFingerprint256: 'ccdd',
      issuerCn: 'plant-a',
      issuerRole: 'site-ca',
    })
  })

  test.each<[string, Record<string, unknown>, Record<string, unknown>?]>([
    ['two roles', { CN: 'a', OU: ['device', 'gateway'] }],
    ['two names', { CN: ['a', 'b'], OU: 'device' }],
    ['no role', { CN: 'a' }],
    ['an unknown role', { CN: 'a', OU: 'admin' }],
    ['a CA', { CN: 'plant-a', OU: 'site-ca' }, root],
    ['an id that is a path', { CN: '../a', OU: 'device' }],
    ["the reserved id 'site'", { CN: 'site', OU: 'device' }],
  ])('refuses a subject with %s', (_name, subject, issuer) => {
    expect(() => identityOf(peerCertificate(subject, issuer))).toThrow(
      expect.objectContaining({ code: 'PEER_SUBJECT_INVALID' }),
    )
  })

  test.each<[string, Record<string, unknown>, Record<string, unknown>]>([
    ['a gateway of another site', { CN: 'plant-b', OU: 'gateway' }, site],
    ['a coordinator signed by a site', { CN: 'coordinator', OU: 'coordinator' }, site],
    ['a device signed by the root', { CN: 'a', OU: 'device' }, root],
    ['an issuer with two names', { CN: 'a', OU: 'device' }, { CN: ['plant-a', 'x'], OU: 'site-ca' }],
    ['an issuer that is no CA of ours', { CN: 'a', OU: 'device' }, { CN: 'plant-a' }],
  ])('refuses %s', (_name, subject, issuer) => {
    expect(() => identityOf(peerCertificate(subject, issuer))).toThrow(
      expect.objectContaining({ code: 'PEER_ISSUER_INVALID' }),
    )
  })

  test('never crashes on what a certificate may say, and never passes its control characters on', () => {
    const field = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(fc.string()),
      fc.constant(undefined),
      fc.constantFrom('device', 'gateway', 'site-ca'),
    )
    fc.assert(
      fc.property(field, field, field, field, (CN, OU, issuerCn, issuerOu) => {
        try {
          identityOf(peerCertificate({ CN, OU }, { CN: issuerCn, OU: issuerOu }))
        } catch (error) {
          expect(error).toBeInstanceOf(AppError)
          expect((error as AppError).message).not.toMatch(/[\u0000-\u001f]/)
        }
      }),
    )
  })
})

describe('readPeerIdentity', () => {
  const socket = (parts: object) =>
    ({
      getPeerCertificate: () => ({}),
      isSessionReused: () => false,
      authorized: true,
      authorizationError: null,
      ...parts,
    }) as unknown as TLSSocket

  test('tells apart a peer without certificate, a resumed session and a chain that did not verify', () => {
    expect(() => readPeerIdentity(socket({}))).toThrow(expect.objectContaining({ code: 'PEER_NO_CERTIFICATE' }))
    expect(() => readPeerIdentity(socket({ isSessionReused: () => true }))).toThrow(
      expect.objectContaining({ code: 'PEER_SESSION_RESUMED' }),
    )
    const unverified = socket({
      getPeerCertificate: () => peerCertificate({ CN: 'a', OU: 'device' }),
      authorized: false,
      authorizationError: 'CERT_HAS_EXPIRED',
    })
    expect(() => readPeerIdentity(unverified)).toThrow(/CERT_HAS_EXPIRED/)
  })
})
