// What tidegate signs, judged by OpenSSL's command line: the implementation that mosquitto, nginx, stunnel and most devices use.
import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createRoot, createSite, issueDevice, issueServer, revoke } from '../../certs/authority.ts'
import type { IndexEntry } from '../../certs/ca-index.ts'
import { readIndex } from '../../certs/ca-index.ts'
import { openCa } from '../../certs/ca.ts'
import { signCrl } from '../../certs/crl.ts'
import { exportPem, exportPkcs12 } from '../../certs/export.ts'
import { RevocationList } from '../../certs/revocation.ts'

const pki = mkdtempSync(join(tmpdir(), 'tidegate-openssl-'))
const at = (...names: string[]) => join(pki, ...names)
const device = (id: string) => at('sites/plant-a/devices', id, 'cert.pem')

beforeAll(async () => {
  await createRoot({ pki, deployment: 'Acme "Wa\\ter" Süd' })
  for (const site of ['plant-a', 'plant-b']) await createSite({ pki, site })
  await issueServer({ pki, role: 'gateway', site: 'plant-a', dns: ['gw.example'], ip: ['10.0.0.1', 'fd00::1'] })
  await issueServer({ pki, role: 'coordinator', dns: ['centre.example'] })
  for (const id of ['press-07', 'stolen']) await issueDevice({ pki, site: 'plant-a', device: id })
  await issueDevice({ pki, site: 'plant-a', device: 'old-plc', key: 'rsa2048' })
  await issueDevice({
    pki,
    site: 'plant-a',
    device: 'expired',
    validity: { notBeforeMs: Date.parse('2020-01-01'), notAfterMs: Date.parse('2021-01-01') },
  })
  await revoke({ pki, site: 'plant-a', subject: { role: 'device', id: 'stolen' }, reason: 'key-compromise' })
  writeFileSync(
    at('all.crl'),
    readFileSync(at('root/crl.pem'), 'utf8') + readFileSync(at('sites/plant-a/crl.pem'), 'utf8'),
  )
})
afterAll(() => rmSync(pki, { recursive: true, force: true }))

function openssl(args: string[], input?: string): { ok: boolean; text: string } {
  try {
    return { ok: true, text: execFileSync('openssl', args, { encoding: 'utf8', stdio: 'pipe', input: input ?? '' }) }
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string }
    return { ok: false, text: stdout + stderr }
  }
}

/** openssl verify, strict, from the root; the leaf's file brings the intermediate as a peer would. */
const verify = (path: string, ...more: string[]) =>
  openssl(['verify', '-x509_strict', '-CAfile', at('root/ca.pem'), '-untrusted', path, ...more, path])

describe('openssl verify', () => {
  test('accepts each certificate for what it is for, and for nothing else', () => {
    const gateway = at('sites/plant-a/gateway/cert.pem')
    expect(verify(device('press-07'), '-purpose', 'sslclient')).toMatchObject({ ok: true })
    expect(verify(device('press-07'), '-purpose', 'sslserver').text).toMatch(
      /unsuitable certificate purpose|unsupported certificate purpose/,
    )
    expect(verify(gateway, '-purpose', 'sslclient')).toMatchObject({ ok: true })
    expect(verify(gateway, '-purpose', 'sslserver')).toMatchObject({ ok: true })
    expect(verify(at('coordinator/cert.pem'), '-purpose', 'sslserver')).toMatchObject({ ok: true })
    expect(verify(at('coordinator/cert.pem'), '-purpose', 'sslclient').ok).toBe(false)
    expect(verify(device('old-plc'), '-purpose', 'sslclient')).toMatchObject({ ok: true })
  })

  test('checks the names of a gateway as peers do', () => {
    const gateway = at('sites/plant-a/gateway/cert.pem')
    expect(verify(gateway, '-verify_hostname', 'gw.example').ok).toBe(true)
    expect(verify(gateway, '-verify_hostname', 'localhost').ok).toBe(false)
    for (const ip of ['10.0.0.1', 'fd00::1']) expect(verify(gateway, '-verify_ip', ip).ok).toBe(true)
    expect(verify(gateway, '-verify_ip', '127.0.0.1').ok).toBe(false)
  })

  test('refuses a revoked, an expired and a foreign device, and one signed by a device', async () => {
    const crl = ['-crl_check_all', '-CRLfile', at('all.crl')]
    expect(verify(device('press-07'), ...crl)).toMatchObject({ ok: true })
    expect(verify(device('stolen'), ...crl).text).toContain('certificate revoked')
    expect(verify(device('expired')).text).toContain('certificate has expired')
    await issueDevice({ pki, site: 'plant-b', device: 'foreign' })
    const foreign = at('sites/plant-b/devices/foreign/cert.pem')
    expect(openssl(['verify', '-partial_chain', '-CAfile', at('sites/plant-a/ca.pem'), foreign]).ok).toBe(false)
  })

  test('finds the whole site gone once the root has revoked its CA', async () => {
    const { crl } = await revoke({ pki, subject: { role: 'site-ca', id: 'plant-b' } })
    await issueDevice({ pki, site: 'plant-b', device: 'late' })
    writeFileSync(at('b.crl'), crl.pem + readFileSync(at('sites/plant-b/crl.pem'), 'utf8'))
    expect(verify(at('sites/plant-b/devices/late/cert.pem'), '-crl_check_all', '-CRLfile', at('b.crl')).text).toContain(
      'certificate revoked',
    )
  })
})

test('openssl crl reads number, reason and dates of a list, and checks its signature', () => {
  const { text } = openssl([
    'crl',
    '-in',
    at('sites/plant-a/crl.pem'),
    '-noout',
    '-text',
    '-CAfile',
    at('sites/plant-a/ca.pem'),
  ])
  expect(text).toMatch(/X509v3 CRL Number:\s+2\n/)
  expect(text).toContain('Key Compromise')
  expect(text).toContain(`Serial Number: ${new X509Certificate(readFileSync(device('stolen'))).serialNumber}`)
})

test('a list of twenty thousand devices is signed, and read by OpenSSL and by us', async () => {
  const ca = await openCa(at('sites/plant-a'))
  const { certificates } = await readIndex(ca.folder)
  const one = { ...(certificates[0] as IndexEntry), revokedAt: '2026-11-24T00:00:00.000Z' }
  const revoked = Array.from({ length: 20_000 }, (_, index) => ({ ...one, serial: (0x40000000 + index).toString(16) }))
  const pem = await signCrl({ v: 1, crlNumber: 300, certificates: revoked }, ca, { nowMs: Date.now() })
  writeFileSync(at('long.crl'), pem)
  expect(openssl(['crl', '-in', at('long.crl'), '-noout', '-CAfile', at('sites/plant-a/ca.pem')])).toMatchObject({
    ok: true,
  })
  const list = RevocationList.load(pem, ca.certPem)
  expect([list.count, list.number, list.isRevoked('40000000'), list.isRevoked('3fffffff')]).toEqual([
    20_000,
    300,
    true,
    false,
  ])
})

test('a hundred serials and signatures in a row are DER that OpenSSL reads back unchanged', async () => {
  await createSite({ pki, site: 'many' })
  for (let index = 0; index < 100; index += 1) {
    const { certPem, entry } = await issueDevice({ pki, site: 'many', device: `d-${index}` })
    expect(new X509Certificate(certPem).serialNumber.toLowerCase()).toBe(entry.serial)
  }
  await revoke({ pki, site: 'many', subject: { role: 'device', id: 'd-0' } })
  const files = Array.from({ length: 100 }, (_, index) => at('sites/many/devices', `d-${index}`, 'cert.pem'))
  expect(
    openssl(['verify', '-x509_strict', '-CAfile', at('sites/many/chain.pem'), ...files]).text.match(/: OK/g),
  ).toHaveLength(100)
})

describe('a device that makes its own key', () => {
  const request = (name: string, ...keyArgs: string[]) => {
    const [key, csr] = [at(`${name}.key`), at(`${name}.csr`)]
    openssl(['genpkey', ...keyArgs, '-out', key])
    openssl([
      'req',
      '-new',
      '-key',
      key,
      '-subj',
      '/CN=root/OU=root-ca/O=Evil',
      '-addext',
      'basicConstraints=critical,CA:TRUE',
      '-out',
      csr,
    ])
    return readFileSync(csr)
  }

  test.each([
    ['p256', ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256']],
    ['p384', ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-384']],
    ['rsa', ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048']],
  ])('gets a certificate for its %s key, with our subject and not the one it asked for', async (name, keyArgs) => {
    const { certPem, folder } = await issueDevice({
      pki,
      site: 'plant-a',
      device: `own-${name}`,
      csr: request(name, ...keyArgs),
    })
    const certificate = new X509Certificate(certPem)
    expect(certificate.toLegacyObject().subject).toMatchObject({ CN: `own-${name}`, OU: 'device' })
    expect(certificate.ca).toBe(false)
    const [own, signed] = [
      openssl(['pkey', '-in', at(`${name}.key`), '-pubout']),
      openssl(['x509', '-in', join(folder, 'cert.pem'), '-noout', '-pubkey']),
    ]
    expect(signed.text).toBe(own.text)
    expect(verify(join(folder, 'cert.pem'), '-purpose', 'sslclient')).toMatchObject({ ok: true })
  })

  test.each<[string, string[], string]>([
    ['a short RSA key', ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:1024'], 'CSR_KEY_REFUSED'],
    ['an odd curve', ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:secp256k1'], 'CSR_KEY_REFUSED|CSR_INVALID'],
    ['an Ed25519 key', ['-algorithm', 'ED25519'], 'CSR_KEY_REFUSED|CSR_INVALID'],
  ])('is refused with %s', async (_name, keyArgs, codes) => {
    const csr = request('refused', ...keyArgs)
    await expect(issueDevice({ pki, site: 'plant-a', device: 'refused', csr })).rejects.toMatchObject({
      code: expect.stringMatching(codes) as string,
    })
  })

  test('is refused when it does not prove that it has the key, and when the request is no request', async () => {
    const der = Buffer.from(
      request('tampered', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256')
        .toString()
        .replace(/-----[^-]+-----|\n/g, ''),
      'base64',
    )
    const swapped = Buffer.from(der.toString('latin1').replace('Evil', 'Good'), 'latin1')
    await expect(issueDevice({ pki, site: 'plant-a', device: 'refused', csr: swapped })).rejects.toThrow(
      /nothing proves/,
    )
    for (const csr of ['', 'text', Buffer.alloc(100_000, 0x30), readFileSync(device('press-07'))]) {
      await expect(issueDevice({ pki, site: 'plant-a', device: 'refused', csr })).rejects.toMatchObject({
        code: 'CSR_INVALID',
      })
    }
  })
})

describe('a PKCS#12 file', () => {
  test.each<[string, 'modern' | 'legacy']>([
    ['press-07', 'modern'],
    ['press-07', 'legacy'],
    ['old-plc', 'modern'],
    ['old-plc', 'legacy'],
  ])('of %s, %s, opens with its password and holds key, certificate and intermediate', async (id, protection) => {
    const to = at(`${id}-${protection}.p12`)
    const password = 'correct horse'
    await exportPkcs12({ pki, subject: { role: 'device', site: 'plant-a', device: id }, to, password, protection })
    const opened = openssl(['pkcs12', '-in', to, '-info', '-nodes', '-passin', `pass:${password}`])
    expect(opened.ok).toBe(true)
    expect(opened.text.match(/BEGIN CERTIFICATE/g)).toHaveLength(2)
    expect(opened.text).toContain(`friendlyName: ${id}`)
    const key = /-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----/.exec(opened.text)?.[0]
    expect(openssl(['pkey', '-pubout'], key).text).toBe(openssl(['x509', '-in', device(id), '-noout', '-pubkey']).text)
    expect(openssl(['pkcs12', '-in', to, '-info', '-nodes', '-passin', 'pass:wrong horse'])).toMatchObject({
      ok: false,
    })
  })
})

test('one PEM file holds key, certificate and intermediate in the order servers read', async () => {
  const to = at('press-07-all.pem')
  await exportPem({ pki, subject: { role: 'device', site: 'plant-a', device: 'press-07' }, to })
  expect(readFileSync(to, 'utf8').match(/BEGIN [A-Z ]+/g)).toEqual([
    'BEGIN PRIVATE KEY',
    'BEGIN CERTIFICATE',
    'BEGIN CERTIFICATE',
  ])
  expect(openssl(['pkey', '-in', to, '-noout'])).toMatchObject({ ok: true })
})
