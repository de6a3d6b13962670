// The coordinator is killed with SIGKILL at any moment, also between COMMIT and receipt: the gateway sends again what it
// has no receipt for, and every record is in the store and in the result log exactly once.
import { readFileSync, appendFileSync, renameSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { LedgerPage, StreamLine } from '../../protocol/api.ts'
import { Deployment, eventually, FakeGateway } from './harness.ts'
import { answer, press1, recordItem, snapshot, delta } from './items.ts'

const kills = Number(process.env['TIDEGATE_KILLS'] ?? 12)
let deployment: Deployment

beforeAll(async () => {
  deployment = await Deployment.create()
})
afterAll(() => deployment.remove())

interface LogLine {
  name: string
  action: string
  columns?: { pid: string }
  snapshot?: object[]
}

const logLines = (path = deployment.resultLogPath): LogLine[] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as LogLine)

test(`after ${kills} kills under load nothing is missing and nothing came twice`, async () => {
  await deployment.start()
  const gateway = new FakeGateway(deployment)
  const { body } = await deployment.api('POST', '/api/v1/queries', { sql: 'SELECT 1', targets: ['site=plant-a'] })
  const { id } = body as { id: string }
  let seq = 1
  let killed = 0
  let segments = 0
  await gateway.send('history', [recordItem(snapshot(seq++, 'events', [], { mode: 'differential' }))])
  const parts = kills * 3 + 20

  for (let part = 0; part < parts; part++) {
    const base = seq - 1
    const segment = await gateway.next('history', [
      recordItem(delta(seq, base, 'events', { added: [[seq, 'x']] }, { mode: 'differential', counter: seq })),
      recordItem(answer(seq + 1, id, [[part, 'row']], part, parts), press1),
      recordItem(
        delta(seq + 2, seq, 'events', { added: [[seq + 2, 'y']] }, { mode: 'differential', counter: seq + 2 }),
      ),
    ])
    seq += 3
    segments++
    const sent = gateway.post(segment).catch(() => undefined)
    if (part % 3 === 2 && killed < kills) {
      killed++
      // From at once to about when the receipt goes out: the spread covers decode, commit, receipt and result log.
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 25))
      await deployment.stop('SIGKILL')
      await sent
      await deployment.start()
    }
    const reply = (await sent) ?? (await gateway.post(segment))
    const receipt = await gateway.receiptOf(reply.status === 200 ? reply : await gateway.post(segment))
    expect(receipt).toMatchObject({ upTo: segment.n, sha256: segment.sha256 })
  }
  expect(killed).toBe(kills)

  const { totals } = (await deployment.api('GET', '/api/v1/ledger')).body as LedgerPage
  expect(totals).toEqual({ sent: seq - 1, atCentre: seq - 1, lost: 0, missing: 0 })
  const lines = (await deployment.api('GET', `/api/v1/queries/${id}/results`)).text.trim().split('\n')
  const rows = lines
    .map((line) => JSON.parse(line) as StreamLine)
    .flatMap((line) => (line.type === 'answer' ? line.rows : []))
  expect(rows.map(([n]) => n).sort((a, b) => Number(a) - Number(b))).toEqual(Array.from({ length: parts }, (_, n) => n))

  const expected = segments * 2
  const logged = await eventually('the result log to be whole', () => {
    const found = logLines()
    return found.length >= expected ? found : undefined
  })
  const pids = logged.map((line) => Number(line.columns?.pid))
  expect(pids).toEqual([...pids].sort((a, b) => a - b))
  expect(new Set(pids).size).toBe(expected)
  expect(pids.length).toBe(expected)
}, 240_000)

test('half a line left by a crash is cut off; a rotated log starts anew', async () => {
  await deployment.stop('SIGKILL')
  const before = readFileSync(deployment.resultLogPath, 'utf8')
  appendFileSync(deployment.resultLogPath, '{"name":"half a li')
  await deployment.start()
  expect(readFileSync(deployment.resultLogPath, 'utf8')).toBe(before)
  renameSync(deployment.resultLogPath, `${deployment.resultLogPath}.1`)
  const rotated = new FakeGateway(deployment, 'plant-a', 'chain-0002')
  await rotated.send('history', [recordItem(snapshot(9001, 'whole', [[1, 'a']], { mode: 'snapshot' }))])
  const lines = await eventually('the new log', () => {
    try {
      const found = logLines()
      return found.length > 0 ? found : undefined
    } catch {
      return undefined
    }
  })
  expect(lines).toMatchObject([{ name: 'whole', action: 'snapshot', snapshot: [{ pid: '1', name: 'a' }] }])
  expect(readFileSync(`${deployment.resultLogPath}.1`, 'utf8')).toBe(before)
})

test('SIGTERM ends it cleanly, with a long poll and a stream open', async () => {
  const gateway = new FakeGateway(deployment)
  const { body } = await deployment.api('POST', '/api/v1/queries', { sql: 'SELECT 1', targets: ['host=press-1'] })
  const { upTo } = await gateway.commands(0)
  const poll = gateway.commands(upTo, 30_000)
  const stream = deployment.api('GET', `/api/v1/queries/${(body as { id: string }).id}/results?follow=true`)
  await new Promise((resolve) => setTimeout(resolve, 200))
  expect(await deployment.stop('SIGTERM')).toBe(0)
  expect(await poll).toEqual({ commands: [], upTo })
  expect((await stream).status).toBe(200)
})
