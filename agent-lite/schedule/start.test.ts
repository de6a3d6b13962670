import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { AppError } from '../../lib/errors.ts'
import type { Cell } from '../../protocol/cells.ts'
import { toRows } from '../../protocol/columnar.ts'
import { diffRows, rowKey } from '../../protocol/delta.ts'
import type { DeltaRecord, SnapshotRecord, StatusRecord } from '../../protocol/records.ts'
import { localFacts } from '../facts.ts'
import { FakeClock } from './clock-for-tests.ts'
import { FakeOutbox, FakeReceiver } from './outbox-for-tests.ts'
import type { RunResult } from './ports.ts'
import type { ScheduledQuery } from './scheduled-query.ts'
import { startSchedule, type Schedule } from './start.ts'

const minuteMs = 60_000
const hourMs = 60 * minuteMs
const startMs = Date.UTC(2026, 10, 24, 9, 17, 31)

function query(name: string, more: Partial<ScheduledQuery> = {}): ScheduledQuery {
  return {
    name,
    sql: `SELECT * FROM ${name}`,
    intervalMs: minuteMs,
    splayPercent: 10,
    mode: 'differential',
    logRemoved: true,
    mayBeDenied: true,
    discovery: [],
    ...more,
  }
}

let dataDir: string
beforeEach(() => (dataDir = mkdtempSync(join(tmpdir(), 'agent-schedule-'))))
afterEach(() => rmSync(dataDir, { recursive: true }))

const denied = new Map<string, string>()
beforeEach(() => denied.clear())
const denyList = {
  reasonFor: (sql: string) => denied.get(sql),
  add: (sql: string, reason: string) => void denied.set(sql, reason),
}

/** While the scheduler has no timer, a query runs. */
const newClock = () => new FakeClock(startMs, (timerCount) => timerCount === 0)

type Answer = (sql: string) => Cell[][] | Partial<RunResult>

function start(clock: FakeClock, outbox: FakeOutbox, schedule: ScheduledQuery[], answer: Answer): Promise<Schedule> {
  return startSchedule({
    config: {
      schedule,
      dataDir,
      results: { freshness: hourMs, resyncEvery: 24 * hourMs, resyncAfter: 100 },
      query: { timeout: 60_000, maxRows: 100, maxBytes: 1_048_576, memory: 67_108_864 },
      options: {
        pack_delimiter: '_',
        schedule_splay_percent: 10,
        schedule_default_interval: 3600,
        pack_refresh_interval: 3600,
      },
    },
    device: 'press-2',
    outbox,
    clock,
    denyList,
    facts: localFacts,
    log: pino({ level: 'silent' }),
    engine: {
      async query(sql) {
        const given = answer(sql)
        const result = Array.isArray(given) ? { rows: given } : given
        return {
          columns: [{ name: 'a' }],
          rows: [],
          warnings: [],
          stats: { wallTimeMs: 12, memoryBytes: 4096 },
          ...result,
        }
      },
    },
  })
}

async function advance(clock: FakeClock, outbox: FakeOutbox, ms: number): Promise<void> {
  for (let leftMs = ms; leftMs > 0; leftMs -= 5000) {
    await clock.advance(Math.min(leftMs, 5000))
    await outbox.flush()
  }
}

const statusesOf = (outbox: FakeOutbox) =>
  outbox.records
    .filter(({ kind }) => kind === 'status')
    .map((record) => `${(record as StatusRecord).severity}: ${(record as StatusRecord).message}`)

test('a day with a restart: the receiver follows every result, and every delta is the difference of two results', async () => {
  const results = new Map<string, Cell[][]>()
  let tick = 0
  const answer: Answer = (sql) => {
    const name = sql.replace('SELECT * FROM ', '')
    tick++
    const rows: Cell[][] = [['fixed'], [tick % 3 === 0 ? tick : 'same'], ...(tick % 7 < 3 ? [['now and then']] : [])]
    results.set(name, rows)
    return rows
  }
  const schedule = [
    query('often', { intervalMs: 5 * minuteMs }),
    query('hourly', { intervalMs: hourMs }),
    query('whole', { intervalMs: 10 * minuteMs, mode: 'snapshot' }),
  ]
  const clock = newClock()
  let outbox = new FakeOutbox('epoch-one')
  const receivers = new Map(schedule.map(({ name }) => [name, new FakeReceiver()]))
  const held = new Map<string, Cell[][]>()
  const deliver = () => {
    for (const record of outbox.records) {
      const { name, kind } = record as SnapshotRecord | DeltaRecord
      receivers.get(name)?.take(outbox.epoch, record)
      if (kind === 'delta') {
        const delta = record as DeltaRecord
        const after = receivers.get(name)?.rows ?? []
        const expected = diffRows(held.get(name) ?? [], after)
        expect(toRows(delta.added).map(rowKey).sort()).toEqual(expected.added.map(rowKey).sort())
        expect(toRows(delta.removed).map(rowKey).sort()).toEqual(expected.removed.map(rowKey).sort())
      }
      held.set(
        name,
        [...(receivers.get(name)?.rows ?? [])].map((row) => [...row]),
      )
    }
  }

  let running = await start(clock, outbox, schedule, answer)
  await advance(clock, outbox, 11 * hourMs)
  await running.stop()
  deliver()
  outbox = outbox.crash()
  running = await start(clock, outbox, schedule, answer)
  await advance(clock, outbox, 13 * hourMs)
  await running.stop()
  deliver()

  for (const { name } of schedule) {
    expect(receivers.get(name)?.isStale).toBe(false)
    expect(receivers.get(name)?.rows?.map(rowKey).sort()).toEqual(results.get(name)?.map(rowKey).sort())
  }
  const runs = Object.fromEntries(running.facts.map(({ name, executions }) => [name, executions]))
  expect(runs).toEqual({ often: 24 * 12 + 1, hourly: 25, whole: 24 * 6 + 1 })
  // Nothing was repeated for the restart's sake.
  expect(outbox.records.slice(0, 20).filter((record) => 'resync' in record)).toEqual([])
})

describe('a query that cannot run', () => {
  test('says so when that begins, not at every run and not every time it comes and goes', async () => {
    let isBroken = true
    const clock = newClock()
    const outbox = new FakeOutbox('epoch-one')
    const running = await start(clock, outbox, [query('gone')], () => {
      if (isBroken) throw new AppError('TABLE_FAILED', 'gone: cannot read /proc/gone')
      return [[1]]
    })
    await advance(clock, outbox, 5 * minuteMs)
    expect(running.state).toMatchObject([{ name: 'gone', problem: 'gone: cannot read /proc/gone' }])
    isBroken = false
    await advance(clock, outbox, 2 * minuteMs)
    expect(running.state).toMatchObject([{ problem: undefined }])
    isBroken = true
    await advance(clock, outbox, 2 * minuteMs)
    expect(statusesOf(outbox)).toHaveLength(1)
    isBroken = false
    await advance(clock, outbox, hourMs)
    isBroken = true
    await advance(clock, outbox, 2 * minuteMs)
    await running.stop()
    const line = 'error: scheduled query gone: gone: cannot read /proc/gone (TABLE_FAILED)'
    expect(statusesOf(outbox)).toEqual([line, line])
    expect(running.facts).toMatchObject([{ name: 'gone', executions: 62, interval: 60, last_wall_time_ms: 12 }])
  })

  test('because it ended the engine is denied from then on, unless it may not be', async () => {
    const clock = newClock()
    const outbox = new FakeOutbox('epoch-one')
    const asked: string[] = []
    const schedule = [query('greedy'), query('exempt', { mayBeDenied: false })]
    const running = await start(clock, outbox, schedule, (sql) => {
      asked.push(sql)
      throw new AppError('QUERY_MEMORY', 'the query needs more than 64 MiB of memory')
    })
    await advance(clock, outbox, 3 * minuteMs)
    expect(asked.filter((sql) => sql === 'SELECT * FROM greedy')).toHaveLength(1)
    expect(asked.filter((sql) => sql === 'SELECT * FROM exempt').length).toBeGreaterThan(2)
    expect(running.facts.map(({ denylisted }) => denylisted)).toEqual([1, 0])
    await running.stop()
    expect(statusesOf(outbox)).toContain(
      'warning: scheduled query greedy: is on the deny list: the query needs more than 64 MiB of memory (QUERY_DENYLISTED)',
    )
  })

  test('whole is cut, and the status says where the limit is', async () => {
    const clock = newClock()
    const outbox = new FakeOutbox('epoch-one')
    const running = await start(clock, outbox, [query('long')], () => ({ rows: [[1], [2]], truncated: 'rows' }))
    await advance(clock, outbox, 3 * minuteMs)
    await running.stop()
    expect(statusesOf(outbox)).toEqual([
      'warning: scheduled query long: has more than 100 rows (query.maxRows): only the first 2 rows are reported (RESULT_TRUNCATED)',
    ])
  })

  test('without leaving something out says what could not be read', async () => {
    const clock = newClock()
    const outbox = new FakeOutbox('epoch-one')
    const warnings = ['cannot read /proc/1/fd: permission denied']
    const running = await start(clock, outbox, [query('sockets')], () => ({ rows: [[1]], warnings }))
    await advance(clock, outbox, 3 * minuteMs)
    await running.stop()
    expect(statusesOf(outbox)).toEqual([
      'warning: scheduled query sockets: cannot read /proc/1/fd: permission denied (RESULT_INCOMPLETE)',
    ])
  })

  test('because the agent stopped runs for that slot at the next start', async () => {
    let isStopping = false
    const clock = new FakeClock(startMs, (timerCount) => timerCount === 0 && !isStopping)
    const daily = [query('daily', { intervalMs: 24 * hourMs })]
    const outbox = new FakeOutbox('epoch-one')
    let stopped: Promise<void> | undefined
    const first: Schedule = await start(clock, outbox, daily, () => {
      isStopping = true
      stopped = first.stop()
      throw new AppError('QUERY_CANCELLED', 'the query was cancelled')
    })
    await clock.advance(1000)
    await stopped
    expect(outbox.records).toEqual([])
    isStopping = false
    const second = await start(clock, outbox, daily, () => [[1]])
    await clock.advance(1000)
    await second.stop()
    expect(outbox.records).toMatchObject([{ kind: 'snapshot', name: 'daily' }])
  })
})

test('a pack runs only while all its discovery queries return rows, and they are asked at most hourly', async () => {
  const clock = newClock()
  const outbox = new FakeOutbox('epoch-one')
  let hasDocker = false
  let askedCount = 0
  const discovery = ['SELECT 1', 'SELECT docker']
  const running = await start(clock, outbox, [query('images', { discovery })], (sql) => {
    if (sql !== 'SELECT docker') return [[1]]
    askedCount++
    return hasDocker ? [[1]] : []
  })
  await advance(clock, outbox, 30 * minuteMs)
  expect(outbox.records).toEqual([])
  hasDocker = true
  await advance(clock, outbox, 45 * minuteMs)
  await running.stop()
  expect(outbox.records).toMatchObject([{ kind: 'snapshot', name: 'images' }])
  expect(askedCount).toBe(2)
})
