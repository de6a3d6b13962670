// Real agents on this real machine, asked by the centre through the gateway: the whole life of a question.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { until } from '../../cli/demo/processes.ts'
import { site, Stack } from '../../cli/demo/stack.ts'
import type { LedgerPage, QueryDetail } from '../../protocol/api.ts'

const devices = ['press-1', 'press-2']
let folder: string
let stack: Stack

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tg-e2e-'))
  stack = await Stack.create({
    folder,
    devices,
    schedule: {
      // A value that no two runs share: what stands twice in the result log was delivered twice.
      nonce: { query: 'SELECT random() AS nonce', interval: 2, snapshot: true, splay: 0 },
      mounts: { query: 'SELECT * FROM mounts', interval: 2, snapshot: true, splay: 0 },
      listening: { query: 'SELECT port FROM listening_ports WHERE port > 0', interval: 2, splay: 0 },
    },
    gateway: { consent: { rules: [{ costClass: 'heavy', action: 'veto', reason: 'not during the batch' }] } },
    agent: { link: { backoffMax: '1s' } },
  })
  await stack.startCoordinator()
  await stack.startGateway()
  for (const device of devices) await stack.startAgent(device)
  await until('both devices at the centre', async () => {
    const { hosts } = await stack.api<{ hosts: { labels: string[] }[] }>('/api/v1/hosts')
    return hosts.filter(({ labels }) => labels.includes('demo')).length === 2 ? true : undefined
  })
})
afterAll(async () => {
  await stack?.stop()
  rmSync(folder, { recursive: true, force: true })
})

interface PrintedAnswer {
  device: string
  status: string
  rows: Record<string, string>[]
}

function answers(stdout: string): PrintedAnswer[] {
  const printed = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as PrintedAnswer)
  return printed.sort((a, b) => (a.device < b.device ? -1 : 1))
}

test('a question to a label is answered by every device that has it, as osquery would print it', async () => {
  const sql = 'SELECT hostname, 1 AS one, 1.0 AS real, NULL AS empty FROM system_info'
  const { code, stdout } = await stack.tidegate('query', '--target', 'label=demo', '--json', sql)
  expect(code).toBe(0)
  expect(answers(stdout)).toMatchObject(
    devices.map((device) => ({
      device,
      status: 'ok',
      rows: [{ hostname: hostname(), one: '1', real: '1.0', empty: '' }],
    })),
  )
})

test('an error on the device comes back in its own words, and the command fails', async () => {
  const { code, stderr, stdout } = await stack.tidegate(
    'query',
    '--target',
    'host=press-1.plant-a',
    'SELECT * FROM file',
  )
  expect(code).toBe(1)
  expect(stdout + stderr).toContain('Table file was queried without a required column in the WHERE clause')
})

test('what the plant vetoes ends vetoed, with the reason, and no device hears of it', async () => {
  const { code, stderr } = await stack.tidegate(
    'query',
    '--target',
    `site=${site}`,
    '--cost',
    'heavy',
    'SELECT * FROM hash WHERE path LIKE "/usr/%%"',
  )
  expect(code).toBe(1)
  expect(stderr).toContain('not during the batch')
  const audit = await stack.gatewayCommand('audit', '--json')
  expect(audit.stdout).toContain('not during the batch')
  expect((await stack.gatewayCommand('audit', '--verify')).code).toBe(0)
})

test('a query that needs too much memory fails with that reason, is deny-listed, and the device goes on', async () => {
  const sql =
    'SELECT group_concat(hex(zeroblob(900000))) FROM (WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 500) SELECT * FROM c)'
  const first = await stack.tidegate('query', '--target', 'host=press-2.plant-a', sql)
  expect(first.code).toBe(1)
  expect(first.stdout + first.stderr).toMatch(/grew beyond|memory/)
  const second = await stack.tidegate('query', '--target', 'host=press-2.plant-a', sql)
  expect(second.stdout + second.stderr).toMatch(/denylist|deny-list/)
  expect((await stack.tidegate('query', '--target', 'host=press-2.plant-a', 'SELECT 1 AS one')).code).toBe(0)
})

test('a question that no device may answer in time ends expired, with the reason', async () => {
  await stack.program('press-2').stop()
  const { code, stderr } = await stack.tidegate(
    'query',
    '--target',
    'host=press-2.plant-a',
    '--valid-for',
    '2s',
    'SELECT 1',
  )
  expect(code).toBe(1)
  expect(stderr).toMatch(/expired/)
  await stack.startAgent('press-2')
})

test('a question that waits for a cut link is answered when the link is back', async () => {
  stack.link.cut()
  const { stdout } = await stack.tidegate(
    'query',
    '--target',
    `site=${site}`,
    '--valid-for',
    '1h',
    '--detach',
    '--json',
    'SELECT 7 AS seven',
  )
  const { id } = JSON.parse(stdout) as { id: string }
  const waiting = await stack.api<QueryDetail>(`/api/v1/queries/${id}`)
  expect(waiting.devices.map(({ device, state }) => ({ device, state }))).toEqual(
    devices.map((device) => ({ device, state: 'queued' })),
  )
  stack.link.restore()
  const done = await until(
    'the answers',
    async () => {
      const query = await stack.api<QueryDetail>(`/api/v1/queries/${id}`)
      return query.status === 'done' ? query : undefined
    },
    60_000,
  )
  expect(done.devices.map(({ state }) => state)).toEqual(['answered', 'answered'])
})

test('agents killed in the middle of their work lose no record and repeat none', async () => {
  for (let round = 0; round < 3; round++) {
    for (const device of devices) {
      await stack.program(device).kill()
      await stack.startAgent(device)
    }
  }
  await until(
    'devices and centre to count the same',
    async () => {
      const sent = await Promise.all(
        devices.map(async (device) => {
          const status = await stack.agentStatus(device)
          return status.outbox.nextSeq - 1
        }),
      )
      const { totals } = await stack.api<LedgerPage>('/api/v1/ledger')
      const isSame = totals.atCentre === (sent[0] ?? 0) + (sent[1] ?? 0) && totals.missing === 0
      return isSame ? true : undefined
    },
    60_000,
  )
  const nonces = readFileSync(join(folder, 'results.log'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { name: string; snapshot: { nonce: string }[] })
    .filter(({ name }) => name === 'nonce')
    .map(({ snapshot }) => snapshot[0]?.nonce)
  expect(nonces.length).toBeGreaterThan(4)
  expect(new Set(nonces).size).toBe(nonces.length)
})
