import { webcrypto, X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AppError } from '../lib/errors.ts'
import { createRoot, createSite, issueDevice, revoke } from './authority.ts'
import { RevocationList } from './revocation.ts'
import { readPem } from './pem.ts'
import { ecdsaP256, x509 } from './x509.ts'

const nowMs = Date.parse('2026-11-24T12:00:00Z')
const pki = mkdtempSync(join(tmpdir(), 'tidegate-revocation-'))
let ca: Buffer
let crl: Buffer
let serial: string

beforeAll(async () => {
  await createRoot({ pki, deployment: 'Acme', nowMs })
  await createSite({ pki, site: 'plant-a', nowMs })
  serial = (await issueDevice({ pki, site: 'plant-a', device: 'a', nowMs })).entry.serial
  await revoke({ pki, site: 'plant-a', subject: { role: 'device', id: 'a' }, nowMs })
  ca = readFileSync(join(pki, 'sites/plant-a/ca.pem'))
  crl = readFileSync(join(pki, 'sites/plant-a/crl.pem'))
})
afterAll(() => rmSync(pki, { recursive: true, force: true }))

const derOf = (pem: Buffer) => readPem(pem).blocks[0]?.der as Buffer

describe('RevocationList', () => {
  test('knows a revoked serial however it is written, and no other', async () => {
    const list = RevocationList.load(crl, ca)
    const colons = serial.toUpperCase().replace(/..(?=.)/g, '$&:')
    expect([serial, serial.toUpperCase(), `00${serial}`, colons].map((text) => list.isRevoked(text))).toEqual([
      true,
      true,
      true,
      true,
    ])
    expect(list.isRevoked(serial.slice(1))).toBe(false)
    expect(list).toMatchObject({ number: 2, count: 1, issuerCn: 'plant-a' })
  })

  test('goes on answering when it is stale, and says that it is', async () => {
    const list = RevocationList.load(crl, ca)
    expect(list.isStale(list.nextUpdateMs)).toBe(false)
    expect(list.isStale(list.nextUpdateMs + 1)).toBe(true)
    expect(list.isRevoked(serial)).toBe(true)
  })

  test('reads DER as well as PEM', async () => {
    const list = RevocationList.load(derOf(crl), new X509Certificate(ca).raw)
    expect(list.isRevoked(serial)).toBe(true)
  })

  test('refuses a list of another CA, and says whose it was checked with', async () => {
    const root = readFileSync(join(pki, 'root/ca.pem'))
    expect(() => RevocationList.load(crl, root)).toThrow(
      expect.objectContaining({
        code: 'CRL_INVALID',
        exit: 'certificate',
        message: expect.stringContaining('Acme root') as string,
      }),
    )
  })

  test.each<[string, x509.Extension[], RegExp]>([
    ['no number', [], /no CRL number/],
    [
      'a critical extension',
      [new x509.Extension('2.5.29.28', true, Buffer.from([0x30, 0]))],
      /critical extension 2\.5\.29\.28/,
    ],
    [
      'a number beyond 2^53',
      [new x509.Extension('2.5.29.20', false, Buffer.from([2, 8, 0x7f, 0, 0, 0, 0, 0, 0, 0]))],
      /no CRL number/,
    ],
  ])('refuses a well-signed list with %s', async (_name, extensions, why) => {
    const keys = await webcrypto.subtle.generateKey(ecdsaP256, true, ['sign', 'verify'])
    const issuer = await x509.X509CertificateGenerator.createSelfSigned({
      name: 'CN=ca',
      keys,
      signingAlgorithm: ecdsaP256,
    })
    const list = await x509.X509CrlGenerator.create({
      issuer: 'CN=ca',
      signingKey: keys.privateKey,
      signingAlgorithm: ecdsaP256,
      extensions,
    })
    expect(() => RevocationList.load(Buffer.from(list.rawData), Buffer.from(issuer.rawData))).toThrow(why)
  })

  test('refuses every changed byte by name, without crashing', async () => {
    const der = derOf(crl)
    fc.assert(
      fc.property(fc.nat(der.length - 1), fc.integer({ min: 1, max: 255 }), (index, flip) => {
        const changed = Buffer.from(der)
        changed[index] = (changed[index] as number) ^ flip
        expect(() => RevocationList.load(changed, ca)).toThrow(expect.objectContaining({ code: 'CRL_INVALID' }))
      }),
      { numRuns: 400 },
    )
  })

  test('refuses anything that is not a list', async () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(() => RevocationList.load(Buffer.from(bytes), ca)).toThrow(AppError)
      }),
    )
    expect(() => RevocationList.load(crl, 'no certificate')).toThrow(expect.objectContaining({ code: 'CRL_INVALID' }))
    expect(() => RevocationList.load(Buffer.alloc(16 * 1024 * 1024 + 1), ca)).toThrow(
      expect.objectContaining({
        code: 'CRL_INVALID',
      }),
    )
  })
})
