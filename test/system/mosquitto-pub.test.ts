// The promise to people with a microcontroller: any MQTT client with a device certificate can publish the JSON of
// docs/protocol.md, and the rows are there to be asked.
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { site, Stack } from '../../cli/demo/stack.ts'

const run = promisify(execFile)
let folder: string
let stack: Stack

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tg-mosquitto-'))
  stack = await Stack.create({ folder, devices: ['press-2'], schedule: {} })
  await stack.startCoordinator()
  await stack.startGateway()
})
afterAll(async () => {
  await stack?.stop()
  rmSync(folder, { recursive: true, force: true })
})

function example(name: string): string {
  const page = readFileSync(new URL('../../docs/protocol.md', import.meta.url), 'utf8')
  return new RegExp(`<!-- example: ${name} -->\\n\`\`\`json\\n([\\s\\S]*?)\\n\`\`\``).exec(page)?.[1] ?? ''
}

/** Debian's mosquitto_pub (package mosquitto-clients) with QoS 1: exits 0 only after the PUBACK. */
async function mosquittoPub(topic: string, payload: string): Promise<void> {
  const file = join(folder, 'payload.json')
  writeFileSync(file, payload)
  const leaf = stack.pki.device(site, 'press-2')
  await run('mosquitto_pub', [
    ...['-h', 'localhost', '-p', String(stack.ports.mqtt), '--cafile', join(stack.pki.root, 'ca.pem')],
    ...['--cert', join(leaf, 'cert.pem'), '--key', join(leaf, 'key.pem')],
    ...['-i', 'press-2', '-q', '1', '-t', topic, '-f', file],
  ])
}

test('mosquitto_pub publishes the smallest envelope of docs/protocol.md and its rows are in tidegate-gateway query', async () => {
  await mosquittoPub('tg/1/press-2/up', example('smallest-envelope'))
  const { code, stdout } = await stack.gatewayCommand(
    'query',
    '--json',
    'SELECT device, slot, state FROM plc_status ORDER BY slot',
  )
  expect({ code, rows: JSON.parse(stdout) as unknown }).toEqual({
    code: 0,
    rows: [
      { device: 'press-2', slot: '1', state: 'run' },
      { device: 'press-2', slot: '2', state: 'stop' },
    ],
  })
})

test('every type of cell of docs/protocol.md comes back as it was sent', async () => {
  await mosquittoPub('tg/1/press-2/up', example('every-cell'))
  const { stdout } = await stack.gatewayCommand('query', '--json', 'SELECT typeof(v) AS type FROM cells')
  expect((JSON.parse(stdout) as { type: string }[]).map(({ type }) => type)).toEqual([
    ...['null', 'text', 'integer', 'integer', 'real', 'real', 'real', 'real', 'blob'],
  ])
})
