import { appendFileSync, mkdtempSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createLog } from '../../lib/log.ts'
import type { DeviceRecord } from '../../protocol/records.ts'
import { DeviceId, Epoch, SiteId } from '../../protocol/ids.ts'
import { Notifier } from '../notifier.ts'
import { openSqliteStore } from '../store/sqlite/open.ts'
import type { Store } from '../store/store.ts'
import { ResultLog } from './writer.ts'

const site = SiteId.parse('plant-a')
const device = DeviceId.parse('press-1')

let folder: string
let path: string
let store: Store
let segments = 0
let opened: ResultLog[] = []

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tidegate-result-log-'))
  path = join(folder, 'results.log')
  store = openSqliteStore(join(folder, 'coordinator.db'))
  await store.addSite({ site, kid: 'k', publicPem: 'pem', who: 'test', atMs: 1 })
  segments = 0
  opened = []
})
afterEach(async () => {
  for (const log of opened) await log.close()
  await store.close()
  rmSync(folder, { recursive: true })
})

/** Each call is a chain of its own, with one segment. */
async function commit(...records: DeviceRecord[]): Promise<void> {
  const chain = Epoch.parse(`chain-${1000 + segments++}`)
  const header = { v: 1, site, chain, n: 1, lane: 'history' as const, prev: null, createdMs: 1, codec: 'none' as const }
  await store.commitSegment(
    {
      header: { ...header, bodyBytes: 0, bodySha256: '0', items: records.length, records: null },
      items: records.map((record) => ({
        t: 'record',
        device,
        epoch: Epoch.parse('epoch-0001'),
        receivedAtMs: 5000,
        record,
      })),
      unknownItems: 0,
      sha256: '0'.repeat(64),
    },
    1,
  )
}

async function open(): Promise<ResultLog> {
  const log = await ResultLog.open({
    path,
    store,
    notifier: new Notifier(),
    log: createLog('test', 'silent'),
    stopping: new AbortController().signal,
  })
  opened.push(log)
  return log
}

async function drain(log: ResultLog): Promise<void> {
  while (await log.writeBatch());
}

/** Lines in short: action and what it holds. */
function lines(file = path): unknown[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const { action, columns, snapshot } = JSON.parse(line) as Record<string, unknown>
      return [action, columns ?? snapshot]
    })
}

const head = { name: 'q', columns: ['a'] }
const full = (seq: number, rows: number[], extra: object = {}): DeviceRecord => ({
  ...{ kind: 'snapshot', seq, ...head, rows: [rows] },
  ...extra,
})
const change = (seq: number, added: number[], removed: number[], extra: object = {}): DeviceRecord => ({
  ...{ kind: 'delta', seq, base: seq - 1, ...head, added: [added], removed: [removed] },
  ...extra,
})
const differential = { mode: 'differential' }

test('differential queries log removed rows before added ones, and events log each row', async () => {
  await commit(
    full(1, [1], differential),
    change(2, [2], [1], differential),
    change(3, [3], [2], { ...differential, logRemoved: false }),
    { kind: 'event', seq: 4, name: 'e', columns: ['a'], rows: [[7]] },
    { kind: 'status', seq: 5, message: 'not a result' },
  )
  await drain(await open())
  expect(lines()).toEqual([
    ['added', { a: '1' }],
    ['removed', { a: '1' }],
    ['added', { a: '2' }],
    ['added', { a: '3' }],
    ['added', { a: '7' }],
  ])
})

test('rows that are repeated so that the receiver can find its place again are not logged twice', async () => {
  await commit(full(1, [1], differential), full(2, [1], { ...differential, resync: true }))
  await drain(await open())
  expect(lines()).toEqual([['added', { a: '1' }]])
})

test('snapshot queries log all rows at each run though only changes travelled, across restarts too', async () => {
  const mode = { mode: 'snapshot' }
  await commit(full(1, [1], mode), change(2, [2], [], mode))
  await drain(await open())
  await commit(change(3, [], [], mode), change(5, [5], [], mode), full(6, [6], mode))
  await drain(await open())
  expect(lines()).toEqual([
    ['snapshot', [{ a: '1' }]],
    ['snapshot', [{ a: '1' }, { a: '2' }]],
    ['snapshot', [{ a: '1' }, { a: '2' }]],
    ['snapshot', [{ a: '6' }]],
  ])
})

test('lines written before a crash but not accounted for are cut off and written again', async () => {
  await commit(full(1, [1]))
  await drain(await open())
  const committed = readFileSync(path, 'utf8')
  appendFileSync(path, '{"action":"added","columns":{"a":"2"}}\n{"half')
  await commit(full(2, [2]))
  await drain(await open())
  expect(readFileSync(path, 'utf8').startsWith(committed)).toBe(true)
  expect(lines()).toEqual([
    ['snapshot', [{ a: '1' }]],
    ['snapshot', [{ a: '2' }]],
  ])
})

test('a rotated, truncated or deleted log goes on in the file that is there', async () => {
  const log = await open()
  await commit(full(1, [1]))
  await drain(log)
  renameSync(path, `${path}.1`)
  await commit(full(2, [2]))
  await drain(log)
  expect([lines(`${path}.1`), lines()]).toEqual([[['snapshot', [{ a: '1' }]]], [['snapshot', [{ a: '2' }]]]])
  truncateSync(path)
  await commit(full(3, [3]))
  await drain(log)
  expect(lines()).toEqual([['snapshot', [{ a: '3' }]]])
  rmSync(path)
  await commit(full(4, [4]))
  await drain(log)
  expect(lines()).toEqual([['snapshot', [{ a: '4' }]]])
})

test('another file in the place of the log is appended to, not cut', async () => {
  await commit(full(1, [1]))
  await drain(await open())
  rmSync(path)
  writeFileSync(path, '{"action":"someone","columns":"else"}\n'.repeat(50))
  await commit(full(2, [2]))
  await drain(await open())
  expect(lines()).toHaveLength(51)
})

test('a log that cannot be opened is a storage error that names the file', async () => {
  path = join(folder, 'coordinator.db', 'results.log')
  await expect(open()).rejects.toMatchObject({ code: 'RESULT_LOG_UNUSABLE', exit: 'storage' })
})
