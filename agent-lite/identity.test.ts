import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createRoot, createSite, issueDevice, issueServer } from '../certs/authority.ts'
import { deviceOf, readIdentity } from './identity.ts'
import { Device } from './sources/device.ts'

const scratch = mkdtempSync(join(tmpdir(), 'agent-identity-'))
const pki = join(scratch, 'pki')
const pem = (...names: string[]) => readFileSync(join(pki, 'sites/plant-a', ...names), 'utf8')

beforeAll(async () => {
  await createRoot({ pki, deployment: 'Test' })
  await createSite({ pki, site: 'plant-a' })
  await issueServer({ pki, role: 'gateway', site: 'plant-a', dns: ['localhost'], ip: [] })
  await issueDevice({ pki, site: 'plant-a', device: 'press-07' })
})
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

let root: string
let dataDir: string
beforeEach(() => {
  root = mkdtempSync(join(scratch, 'machine-'))
  dataDir = join(root, 'data')
  put('/proc/sys/kernel/hostname', 'press-07.plant\n')
  put('/proc/sys/kernel/random/boot_id', '0b1d0000-0000-4000-8000-000000000001\n')
})

function put(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true })
  writeFileSync(join(root, path), text)
}

function read() {
  const certPem = pem('devices/press-07/cert.pem')
  return readIdentity({ certPem, site: 'plant-a', dataDir, machine: new Device(root) })
}

describe('the device', () => {
  test('is the one its certificate names', () => {
    expect(read()).toMatchObject({
      device: 'press-07',
      hostname: 'press-07.plant',
      bootId: '0b1d0000-0000-4000-8000-000000000001',
    })
  })

  test('cannot be read from the certificate of a gateway, of a CA, of another site, or from none', () => {
    const codeOf = (text: string, site = 'plant-a') => {
      try {
        deviceOf(text, site)
      } catch (error) {
        expect(error).toMatchObject({ exit: 'certificate' })
        return (error as { code: string }).code
      }
      return undefined
    }
    expect(codeOf(pem('gateway/cert.pem'))).toBe('CERTIFICATE_NOT_A_DEVICE')
    expect(codeOf(pem('ca.pem'))).toBe('PEER_SUBJECT_INVALID')
    expect(codeOf(pem('devices/press-07/cert.pem'), 'plant-b')).toBe('CERTIFICATE_OTHER_SITE')
    expect(codeOf(pem('devices/press-07/key.pem'))).toBe('CERTIFICATE_UNREADABLE')
    expect(codeOf('')).toBe('CERTIFICATE_UNREADABLE')
  })
})

describe('the machine', () => {
  test('has the UUID of its firmware, unless that is a placeholder', () => {
    put('/sys/class/dmi/id/product_uuid', '4C4C4544-0044-4A10-8052-B3C04F4A4D32\n')
    expect(read().uuid).toBe('4c4c4544-0044-4a10-8052-b3c04f4a4d32')
    put('/sys/class/dmi/id/product_uuid', '03000200-0400-0500-0006-000700080009\n')
    expect(read().uuid).toBe(read().instanceId)
  })

  test('without one gets a UUID derived from machine-id, always the same and never the id itself', () => {
    put('/etc/machine-id', '0123456789abcdef0123456789abcdef\n')
    const { uuid, instanceId } = read()
    expect(uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(uuid).not.toBe(instanceId)
    expect(read().uuid).toBe(uuid)
    expect(uuid.replaceAll('-', '')).not.toBe('0123456789abcdef0123456789abcdef')
  })
})

describe('the instance id', () => {
  test('is made once, readable by its owner only', () => {
    const { instanceId } = read()
    expect(read().instanceId).toBe(instanceId)
    expect(statSync(join(dataDir, 'instance-id')).mode & 0o777).toBe(0o600)
  })

  test('is made anew when its file is damaged', () => {
    read()
    writeFileSync(join(dataDir, 'instance-id'), '')
    const { instanceId } = read()
    expect(instanceId).toMatch(/^[0-9a-f-]{36}$/)
    expect(read().instanceId).toBe(instanceId)
  })

  test('that cannot be kept is a named error', () => {
    writeFileSync(dataDir, 'a file')
    expect(read).toThrow(expect.objectContaining({ code: 'INSTANCE_ID_UNUSABLE', exit: 'storage' }))
  })
})
