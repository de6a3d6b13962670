import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { DeviceId } from '../protocol/ids.ts'
import { checkRecord } from '../protocol/records.ts'
import { loadAgentConfig } from './config.ts'
import { agentFacts, statusOf } from './facts.ts'
import { Device } from './sources/device.ts'

const identity = {
  device: DeviceId.parse('press-2'),
  notAfterMs: 0,
  hostname: 'press-2.plant',
  uuid: '4c4c4544-0044-4a10-8052-b3c04f4a4d32',
  instanceId: '2f4f3c52-4d2b-4e0c-9c57-6f3f6f1f8a11',
  bootId: '0b1d0000-0000-4000-8000-000000000001',
}

let root: string
beforeEach(() => (root = mkdtempSync(join(tmpdir(), 'agent-facts-'))))
afterEach(() => rmSync(root, { recursive: true }))

function config(more: object) {
  const tls = { ca: 'ca.pem', cert: 'cert.pem', key: 'key.pem' }
  const path = join(root, 'agent.yaml')
  writeFileSync(path, stringify({ site: 'plant-a', gateway: 'gw:8883', tls, dataDir: 'data', ...more }))
  return loadAgentConfig(path)
}

test('the status record tells the site what the device is, in the words that hosts are searched by', () => {
  mkdirSync(join(root, 'etc'))
  const release = 'NAME="Debian GNU/Linux"\nVERSION="12 (bookworm)"\nID=debian\n'
  writeFileSync(join(root, 'etc/os-release'), release)
  const given = config({ labels: ['line-1'], schedule: { ports: { query: 'SELECT * FROM listening_ports' } } })
  const status = statusOf(given, identity, new Device(root))
  expect(checkRecord({ ...status, seq: 1 })).toMatchObject({
    kind: 'status',
    facts: {
      hostname: 'press-2.plant',
      platform: 'debian',
      os: 'Debian GNU/Linux 12 (bookworm)',
      version: 'unbuilt',
      nodeVersion: process.versions.node,
      labels: ['line-1'],
      uuid: identity.uuid,
      bootId: identity.bootId,
      schedule: ['ports'],
    },
  })
})

test('the osquery tables show the options in force beside their defaults', () => {
  const { flags, configValid, configHash, uuid } = agentFacts(
    config({ options: { pack_delimiter: '/' } }),
    identity,
    [],
  )
  expect({ configValid, uuid }).toEqual({ configValid: true, uuid: identity.uuid })
  expect(configHash).toMatch(/^[0-9a-f]{40}$/)
  expect(flags).toContainEqual(expect.objectContaining({ name: 'pack_delimiter', default_value: '_', value: '/' }))
  expect(flags).toContainEqual(expect.objectContaining({ name: 'host_identifier', value: 'specified' }))
  expect(flags).toContainEqual(expect.objectContaining({ name: 'specified_identifier', value: 'press-2' }))
})
