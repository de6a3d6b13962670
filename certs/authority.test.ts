import { createPrivateKey, X509Certificate } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createRoot, createSite, issueDevice, issueServer, list, revoke } from './authority.ts'
import { readIndex } from './ca-index.ts'
import { readLeaf } from './leaf.ts'
import { identityOf } from './peer.ts'
import { RevocationList } from './revocation.ts'
import { clientAuth, serverAuth } from './roles.ts'

const nowMs = Date.parse('2026-11-24T12:00:00Z')
const scratch = mkdtempSync(join(tmpdir(), 'tidegate-authority-'))
const pki = join(scratch, 'pki')
const at = (...names: string[]) => join(pki, ...names)
const certificate = (path: string) => new X509Certificate(readFileSync(path))

beforeAll(async () => {
  await createRoot({ pki, deployment: 'Acme "Wa\\ter" Süd', nowMs })
  await createSite({ pki, site: 'plant-a', nowMs })
  await issueServer({ pki, role: 'gateway', site: 'plant-a', dns: ['gw.example'], ip: ['10.0.0.1', 'fd00::1'], nowMs })
  await issueServer({ pki, role: 'coordinator', dns: ['centre.example'], nowMs })
  await issueDevice({ pki, site: 'plant-a', device: 'press-07', nowMs })
})
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

describe('what is issued', () => {
  test('chains from leaf to site to root, and the leaf file carries the intermediate', () => {
    const root = certificate(at('root/ca.pem'))
    const site = certificate(at('sites/plant-a/ca.pem'))
    for (const leaf of ['gateway', 'devices/press-07']) {
      const file = readFileSync(at('sites/plant-a', leaf, 'cert.pem'), 'utf8')
      expect(file.endsWith(site.toString())).toBe(true)
      expect(new X509Certificate(file).verify(site.publicKey)).toBe(true)
    }
    expect(site.verify(root.publicKey)).toBe(true)
    expect(certificate(at('coordinator/cert.pem')).verify(root.publicKey)).toBe(true)
    expect(readFileSync(at('sites/plant-a/chain.pem'), 'utf8')).toBe(site.toString() + root.toString())
  })

  test('states role, id and the deployment as it was written, quotes and backslashes too', () => {
    const subject = certificate(at('sites/plant-a/devices/press-07/cert.pem')).toLegacyObject().subject as unknown
    expect(subject).toEqual(expect.objectContaining({ CN: 'press-07', OU: 'device', O: 'Acme "Wa\\ter" Süd' }))
  })

  test('lets a device be a client and nothing else, a gateway both, the coordinator a server', () => {
    expect(certificate(at('sites/plant-a/devices/press-07/cert.pem')).keyUsage).toEqual([clientAuth])
    expect(certificate(at('sites/plant-a/gateway/cert.pem')).keyUsage).toEqual([serverAuth, clientAuth])
    expect(certificate(at('coordinator/cert.pem')).keyUsage).toEqual([serverAuth])
  })

  test('answers to the names it was given', () => {
    const gateway = certificate(at('sites/plant-a/gateway/cert.pem'))
    expect([gateway.checkHost('gw.example'), gateway.checkIP('10.0.0.1'), gateway.checkIP('fd00::1')]).toEqual([
      'gw.example',
      '10.0.0.1',
      'fd00::1',
    ])
    expect(gateway.checkHost('localhost')).toBeUndefined()
  })

  test('keeps private keys to their owner', () => {
    for (const key of [
      'root/ca.key',
      'centre/command-signing.key',
      'sites/plant-a/ca.key',
      'sites/plant-a/signing.key',
      'sites/plant-a/gateway/key.pem',
    ]) {
      expect([key, statSync(at(key)).mode & 0o777]).toEqual([key, 0o600])
    }
  })

  test('has Ed25519 keys for what is signed, P-256 for TLS', () => {
    const kinds = ['centre/command-signing.key', 'sites/plant-a/signing.key', 'sites/plant-a/ca.key'].map(
      (key) => createPrivateKey(readFileSync(at(key))).asymmetricKeyType,
    )
    expect(kinds).toEqual(['ed25519', 'ed25519', 'ec'])
  })

  test('is in the index of its CA, under a positive serial of 128 bits and its fingerprint', async () => {
    const [root, site] = await list({ pki })
    expect(root?.certificates.map(({ role, cn }) => `${role} ${cn}`)).toEqual([
      `root-ca Acme "Wa\\ter" Süd root`,
      'site-ca plant-a',
      'coordinator coordinator',
    ])
    const entry = site?.certificates.find(({ cn }) => cn === 'press-07')
    const leaf = certificate(at('sites/plant-a/devices/press-07/cert.pem'))
    expect(entry).toMatchObject({
      role: 'device',
      serial: leaf.serialNumber.toLowerCase(),
      sha256: identityOf(leaf.toLegacyObject()).fingerprint256,
    })
    expect(entry?.serial).toMatch(/^[4-7][0-9a-f]{31}$/)
  })
})

describe('issuing again', () => {
  test('refuses without force, and the key in place stays', async () => {
    const before = readFileSync(at('sites/plant-a/devices/press-07/key.pem'), 'utf8')
    await expect(issueDevice({ pki, site: 'plant-a', device: 'press-07' })).rejects.toMatchObject({
      code: 'ALREADY_EXISTS',
      exit: 'certificate',
    })
    await expect(createSite({ pki, site: 'plant-a' })).rejects.toMatchObject({ code: 'ALREADY_EXISTS' })
    await expect(createRoot({ pki, deployment: 'x' })).rejects.toMatchObject({ code: 'ALREADY_EXISTS' })
    expect(readFileSync(at('sites/plant-a/devices/press-07/key.pem'), 'utf8')).toBe(before)
    expect((await readIndex(at('sites/plant-a'))).certificates.filter(({ cn }) => cn === 'press-07')).toHaveLength(1)
  })

  test('with force replaces certificate and key together, and names the earlier one that is still valid', async () => {
    const first = await issueDevice({ pki, site: 'plant-a', device: 'mixer', nowMs })
    const second = await issueDevice({ pki, site: 'plant-a', device: 'mixer', nowMs, force: true })
    expect(second.stillValid.map(({ serial }) => serial)).toEqual([first.entry.serial])
    const { certPem } = await readLeaf(second.folder)
    expect(new X509Certificate(certPem).serialNumber.toLowerCase()).toBe(second.entry.serial)
  })

  test('of a site keeps the CA that was replaced', async () => {
    await createSite({ pki, site: 'plant-b', nowMs })
    const before = readFileSync(at('sites/plant-b/ca.key'), 'utf8')
    await createSite({ pki, site: 'plant-b', nowMs, force: true })
    const kept = readdirSync(at('sites')).find((name) => name.startsWith('plant-b.replaced-'))
    expect(readFileSync(at('sites', kept as string, 'ca.key'), 'utf8')).toBe(before)
    expect((await list({ pki })).map(({ site }) => site)).toEqual([undefined, 'plant-a', 'plant-b'])
  })

  test('twenty at once loses none of them', async () => {
    await createSite({ pki, site: 'plant-c', nowMs })
    await Promise.all(
      Array.from({ length: 20 }, (_, index) => issueDevice({ pki, site: 'plant-c', device: `d-${index}`, nowMs })),
    )
    const { certificates } = await readIndex(at('sites/plant-c'))
    expect(new Set(certificates.map(({ cn }) => cn)).size).toBe(20)
    expect(readdirSync(at('sites/plant-c/devices'))).toHaveLength(20)
  })
})

describe('refusals', () => {
  test.each(['site', '', 'Press', 'a_b', '../x', 'a'.repeat(64), '-a'])('device id %j', async (device) => {
    await expect(issueDevice({ pki, site: 'plant-a', device })).rejects.toMatchObject({
      code: 'ID_INVALID',
      exit: 'usage',
    })
  })

  test.each(['', ' x', 'a\nb', 'x'.repeat(65)])('deployment name %j', async (deployment) => {
    await expect(createRoot({ pki: join(scratch, 'other'), deployment })).rejects.toMatchObject({
      code: 'DEPLOYMENT_NAME_INVALID',
    })
    expect(existsSync(join(scratch, 'other'))).toBe(false)
  })

  test('an unknown site leaves no folder behind', async () => {
    await expect(issueDevice({ pki, site: 'nowhere', device: 'a' })).rejects.toMatchObject({ code: 'CA_MISSING' })
    expect(existsSync(at('sites/nowhere'))).toBe(false)
  })

  test('a CA whose key is kept elsewhere, and one whose key is not its own', async () => {
    const other = join(scratch, 'broken')
    await createRoot({ pki: other, deployment: 'x', nowMs })
    writeFileSync(join(other, 'root/ca.key'), readFileSync(at('root/ca.key')))
    await expect(createSite({ pki: other, site: 'a' })).rejects.toMatchObject({ code: 'CA_BROKEN' })
    rmSync(join(other, 'root/ca.key'))
    await expect(createSite({ pki: other, site: 'a' })).rejects.toMatchObject({ code: 'CA_KEY_MISSING' })
  })

  test('an index that is not one is neither used nor overwritten', async () => {
    await createSite({ pki, site: 'plant-d', nowMs })
    const index = at('sites/plant-d/index.json')
    for (const text of ['', '{}', '{"v":2}', '[]', '{"v":1,"crlNumber":0,"certificates":[]}']) {
      writeFileSync(index, text)
      await expect(issueDevice({ pki, site: 'plant-d', device: 'a' })).rejects.toMatchObject({
        code: 'PKI_INDEX_BROKEN',
      })
      expect(readFileSync(index, 'utf8')).toBe(text)
      expect(existsSync(at('sites/plant-d/devices'))).toBe(false)
    }
  })
})

describe('revoke', () => {
  const load = () =>
    RevocationList.load(readFileSync(at('sites/plant-e/crl.pem')), readFileSync(at('sites/plant-e/ca.pem')))

  beforeAll(async () => {
    await createSite({ pki, site: 'plant-e', nowMs })
    for (const device of ['a', 'b']) await issueDevice({ pki, site: 'plant-e', device, nowMs })
  })

  test('takes every certificate of a device, expired ones too, and raises the number of the list', async () => {
    const past = { notBeforeMs: Date.parse('2020-01-01'), notAfterMs: Date.parse('2021-01-01') }
    const expired = await issueDevice({ pki, site: 'plant-e', device: 'a', validity: past, force: true, nowMs })
    const before = load()
    const { revoked, crl } = await revoke({
      pki,
      site: 'plant-e',
      subject: { role: 'device', id: 'a' },
      reason: 'key-compromise',
      nowMs,
    })
    const after = load()
    expect(revoked).toHaveLength(2)
    expect(after.number).toBe(before.number + 1)
    expect(after.isRevoked(expired.entry.serial)).toBe(true)
    expect(crl).toMatchObject({ number: after.number, nextUpdateMs: nowMs + 30 * 86_400_000 })
    const { certificates } = await readIndex(at('sites/plant-e'))
    expect(certificates.filter(({ reason }) => reason === 'key-compromise').map(({ cn }) => cn)).toEqual(['a', 'a'])
    expect(certificates.find(({ cn }) => cn === 'b')?.revokedAt).toBeUndefined()
  })

  test('repeated, keeps the first date and mends a list that a crash kept from being written', async () => {
    writeFileSync(at('sites/plant-e/crl.pem'), '')
    const { revoked } = await revoke({
      pki,
      site: 'plant-e',
      subject: { role: 'device', id: 'a' },
      nowMs: nowMs + 1000,
    })
    expect(revoked).toEqual([])
    const list = load()
    expect(list.count).toBe(2)
    const [first] = (await readIndex(at('sites/plant-e'))).certificates
    expect(list.revokedAtMs(first?.serial as string)).toBe(nowMs)
  })

  test('by serial takes only that one; an unknown one is named', async () => {
    await expect(revoke({ pki, site: 'plant-e', serial: 'ABC' })).rejects.toMatchObject({
      code: 'CERTIFICATE_NOT_FOUND',
    })
    await expect(revoke({ pki, site: 'plant-e', subject: { role: 'device', id: 'zz' } })).rejects.toMatchObject({
      code: 'CERTIFICATE_NOT_FOUND',
    })
    const b = (await readIndex(at('sites/plant-e'))).certificates.find(({ cn }) => cn === 'b')
    const { revoked } = await revoke({ pki, site: 'plant-e', serial: (b?.serial as string).toUpperCase(), nowMs })
    expect(revoked.map(({ cn }) => cn)).toEqual(['b'])
  })

  test('takes a whole site with the list of the root, but not the root itself', async () => {
    const { crl } = await revoke({ pki, subject: { role: 'site-ca', id: 'plant-e' }, nowMs })
    const list = RevocationList.load(crl.pem, readFileSync(at('root/ca.pem')))
    expect(list.isRevoked(certificate(at('sites/plant-e/ca.pem')).serialNumber)).toBe(true)
    await expect(revoke({ pki, serial: certificate(at('root/ca.pem')).serialNumber })).rejects.toMatchObject({
      code: 'ROOT_NOT_REVOCABLE',
    })
  })
})
