import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Cell } from '../../protocol/cells.ts'
import { diffRows, rowKey } from '../../protocol/delta.ts'
import { toRows } from '../../protocol/columnar.ts'
import type { DeltaRecord } from '../../protocol/records.ts'
import { arbitraryCell } from '../../protocol/testing.ts'
import { FakeClock } from './clock-for-tests.ts'
import { FakeOutbox, FakeReceiver } from './outbox-for-tests.ts'
import { Reporter } from './reporter.ts'
import { ResultsStore } from './results-store.ts'
import type { ScheduledQuery } from './scheduled-query.ts'

const hourMs = 3_600_000
const policy = { freshnessMs: hourMs, resyncEveryMs: 24 * hourMs, resyncAfter: 100 }

let scratch: string
let benches: Bench[] = []
beforeEach(() => (scratch = mkdtempSync(join(tmpdir(), 'agent-results-'))))
afterEach(async () => {
  for (const bench of benches) await bench.end()
  benches = []
  rmSync(scratch, { recursive: true })
})

const users: ScheduledQuery = {
  name: 'users',
  sql: 'SELECT * FROM users',
  intervalMs: 60_000,
  splayPercent: 10,
  mode: 'differential',
  logRemoved: true,
  mayBeDenied: true,
  discovery: [],
}

/** One device: reporter, store and outbox, over restarts, and the gateway at the other end. */
class Bench {
  readonly clock = new FakeClock(Date.UTC(2026, 10, 24))
  readonly receiver = new FakeReceiver()
  readonly query: ScheduledQuery
  outbox = new FakeOutbox('epoch-one')
  folder = mkdtempSync(join(scratch, 'life-'))
  #store: ResultsStore | undefined
  readonly #crashed: (ResultsStore | undefined)[] = []
  #reporter: Reporter | undefined
  #deliveredCount = 0

  constructor(query: Partial<ScheduledQuery> = {}) {
    this.query = { ...users, ...query }
    benches.push(this)
  }

  async start(outbox: FakeOutbox): Promise<void> {
    this.outbox = outbox
    this.#deliveredCount = 0
    this.#store = await ResultsStore.open({
      folder: this.folder,
      outbox,
      clock: this.clock,
      log: pino({ level: 'silent' }),
      queries: new Map([[this.query.name, this.query.mode === 'differential']]),
    })
    this.#reporter = new Reporter(outbox, this.#store, policy)
  }

  async run(rows: Cell[][], columns = ['a', 'b']) {
    if (this.#reporter === undefined) await this.start(this.outbox)
    return this.#reporter?.report(this.query, { columns, rows }, this.clock.nowMs())
  }

  /** A run whose records are durable and delivered at once. Returns the kinds, with `!` for a resync. */
  async report(rows: Cell[][], columns?: string[]): Promise<string> {
    const before = this.outbox.records.length
    await this.run(rows, columns)
    await this.settle()
    return this.outbox.records
      .slice(before)
      .map((record) => `${record.kind}${'resync' in record ? '!' : ''} ${String((record as DeltaRecord).counter)}`)
      .join(', ')
  }

  async settle(): Promise<void> {
    await this.outbox.flush()
    this.deliver()
  }

  /** `lost`: these never arrive, and the outbox has said so. */
  deliver(lost: readonly number[] = []): void {
    for (const record of this.outbox.records.slice(this.#deliveredCount)) {
      if (!lost.includes(record.seq)) this.receiver.take(this.outbox.epoch, record)
    }
    this.#deliveredCount = this.outbox.records.length
    this.#store?.noteLost(lost.map((seq) => [seq, seq]))
  }

  async stop(): Promise<void> {
    await this.outbox.flush()
    await this.#store?.close()
  }

  /** After a crash, the disk is as it was at that moment, whatever the dead process was about to do. */
  async restart({ isClean = true, epoch = this.outbox.epoch as string } = {}): Promise<void> {
    if (isClean) await this.stop()
    else {
      const folder = mkdtempSync(join(scratch, 'life-'))
      // What was being written would be found torn, and is not looked at.
      cpSync(this.folder, folder, { recursive: true, filter: (path) => !path.endsWith('.new') })
      this.folder = folder
      this.#crashed.push(this.#store)
    }
    this.deliver()
    const next = this.outbox.crash()
    await this.start(epoch === this.outbox.epoch ? next : new FakeOutbox(epoch))
  }

  /** Nothing is written any more. */
  async end(): Promise<void> {
    for (const store of [...this.#crashed.splice(0), this.#store]) await store?.close()
    this.#store = undefined
  }
}

const eve: Cell[] = [1001, 'eve']
const ada: Cell[] = [1000, 'ada']
const bob: Cell[] = [1002, 'bob']

describe('a differential query', () => {
  test("reports all rows once, then only what changed, with osquery's counter", async () => {
    const bench = new Bench()
    expect(await bench.report([ada])).toBe('snapshot 0')
    expect(await bench.report([ada])).toBe('')
    expect(await bench.report([ada, eve])).toBe('delta 1')
    expect(await bench.report([eve, bob])).toBe('delta 2')
    expect(bench.outbox.records).toMatchObject([
      { seq: 1, kind: 'snapshot', name: 'users', mode: 'differential', table: 'users', columns: ['a', 'b'] },
      { seq: 2, kind: 'delta', base: 1, added: [[1001], ['eve']], removed: [[], []] },
      { seq: 3, kind: 'delta', base: 2, added: [[1002], ['bob']], removed: [[1000], ['ada']] },
    ])
    expect(bench.receiver.rows).toEqual([eve, bob])
  })

  test('reports a first result without rows, too', async () => {
    const bench = new Bench()
    expect(await bench.report([])).toBe('snapshot 0')
    expect(bench.outbox.records).toMatchObject([{ rows: [[], []] }])
  })

  test('says at least every hour that nothing changed', async () => {
    const bench = new Bench()
    await bench.report([ada])
    await bench.clock.advance(hourMs - 1)
    expect(await bench.report([ada])).toBe('')
    await bench.clock.advance(1)
    expect(await bench.report([ada])).toBe('delta 0')
    expect(await bench.report([ada])).toBe('')
    expect(await bench.report([ada, eve])).toBe('delta 1')
    expect(bench.receiver).toMatchObject({ rows: [ada, eve], isStale: false })
  })

  test('rows in another order are no change; an integer and the same text are', async () => {
    const bench = new Bench()
    await bench.report([ada, eve])
    expect(await bench.report([eve, ada])).toBe('')
    expect(await bench.report([eve, ['1000', 'ada']])).toBe('delta 1')
  })

  test('sends all rows again after a day and after a hundred changes, as no news', async () => {
    const bench = new Bench()
    await bench.report([ada])
    await bench.clock.advance(24 * hourMs)
    expect(await bench.report([ada])).toBe('snapshot! 0')
    for (let count = 1; count <= 100; count++) expect(await bench.report([ada, [count, 'x']])).toBe(`delta ${count}`)
    expect(await bench.report([ada, [101, 'x']])).toBe('snapshot! 100, delta 101')
    expect(bench.receiver.rows).toEqual([ada, [101, 'x']])
    expect(bench.receiver.log.filter((line) => line === '+[1000,"ada"]')).toHaveLength(1)
  })

  test('leaves it to the result log to show removed rows or not', async () => {
    const bench = new Bench({ logRemoved: false, sql: 'SELECT a, b FROM users' })
    await bench.report([ada])
    expect(bench.outbox.records[0]).toMatchObject({ logRemoved: false })
    expect(bench.outbox.records[0]).not.toHaveProperty('table')
  })

  test('whose columns change reports all rows as new', async () => {
    const bench = new Bench()
    await bench.report([ada])
    expect(await bench.report([[1000]], ['a'])).toBe('snapshot 1')
    expect(bench.receiver).toMatchObject({ rows: [[1000]], columns: ['a'], isStale: false })
  })
})

describe('a snapshot query', () => {
  test('reports at every run, as a change when that is smaller and as nothing new when nothing changed', async () => {
    const bench = new Bench({ mode: 'snapshot' })
    const many: Cell[][] = Array.from({ length: 50 }, (_, index) => [index, `user ${index}`])
    expect(await bench.report(many)).toBe('snapshot 0')
    expect(await bench.report(many)).toBe('delta 0')
    expect(await bench.report([...many.slice(1), eve])).toBe('delta 0')
    expect(bench.receiver).toMatchObject({ rows: [...many.slice(1), eve], isStale: false })
    expect(await bench.report([ada])).toBe('snapshot 0')
    expect(bench.outbox.records.every((record) => !('resync' in record))).toBe(true)
  })

  test('that comes often keeps nothing on disk, and reports all rows after a restart', async () => {
    const bench = new Bench({ mode: 'snapshot' })
    await bench.report([ada])
    await bench.restart()
    expect(readdirSync(bench.folder)).toEqual(['state'])
    expect(await bench.report([ada])).toBe('snapshot 0')
  })
})

describe('after a restart', () => {
  test('a differential query goes on from its last result', async () => {
    const bench = new Bench()
    await bench.report([ada])
    await bench.report([ada, eve])
    await bench.restart()
    expect(await bench.report([ada, eve])).toBe('')
    expect(await bench.report([eve])).toBe('delta 2')
    expect(bench.receiver).toMatchObject({ rows: [eve], isStale: false })
  })

  test('that the state was not ready for, known rows are repeated and what changed meanwhile is news', async () => {
    const bench = new Bench()
    await bench.report([ada])
    await bench.stop()
    await bench.report([ada, eve])
    await bench.restart({ isClean: false })
    await bench.report([ada, bob])
    expect(bench.receiver).toMatchObject({ rows: [ada, bob], isStale: false })
    expect(bench.receiver.log.slice(-1)).toEqual(['+[1002,"bob"]'])
  })

  test('with a new epoch all rows are repeated, and the counter goes on', async () => {
    const bench = new Bench()
    await bench.report([ada])
    await bench.report([ada, eve])
    await bench.restart({ epoch: 'epoch-two' })
    expect(await bench.report([ada, eve])).toBe('snapshot! 1')
    expect(await bench.report([ada])).toBe('delta 2')
  })

  test('a damaged result reads as none, wherever the damage is, and is never half right', async () => {
    const bench = new Bench()
    await bench.report([ada, eve])
    await bench.stop()
    const file = readdirSync(bench.folder).find((name) => name.endsWith('.rows')) ?? ''
    const bytes = readFileSync(join(bench.folder, file))
    for (let at = 0; at < bytes.length; at += 7) {
      const damaged = Buffer.from(bytes)
      damaged[at] = (damaged[at] ?? 0) ^ 0x10
      writeFileSync(join(bench.folder, file), damaged)
      await bench.restart()
      expect(await bench.report([ada, eve, bob])).toBe('snapshot 0')
      await bench.stop()
      writeFileSync(join(bench.folder, file), bytes)
    }
  })

  test('a damaged state costs a resync, not the counter', async () => {
    const bench = new Bench()
    await bench.report([ada])
    await bench.report([ada, eve])
    await bench.stop()
    writeFileSync(join(bench.folder, 'state'), 'torn')
    await bench.restart({ isClean: false })
    expect(await bench.report([ada, eve])).toBe('snapshot! 1')
  })
})

test('a disk that takes no results costs a resync after the next restart, nothing before', async () => {
  const bench = new Bench()
  mkdirSync(join(bench.folder, 'state'))
  await bench.report([ada])
  expect(await bench.report([ada, eve])).toBe('delta 1')
  await bench.restart()
  expect(readdirSync(bench.folder).filter((name) => name.endsWith('.new'))).toEqual([])
  rmSync(join(bench.folder, 'state'), { recursive: true })
  expect(await bench.report([eve])).toBe('snapshot! 1, delta 2')
  expect(bench.receiver).toMatchObject({ rows: [eve], isStale: false })
})

describe('records that are lost', () => {
  test('in the outbox lead to all rows again, but only for what they were the base of', async () => {
    const bench = new Bench()
    await bench.report([ada])
    await bench.run([ada, eve])
    await bench.outbox.flush()
    bench.deliver([2])
    expect(await bench.report([ada, eve])).toBe('snapshot! 1')
    bench.deliver([1, 2])
    expect(await bench.report([ada, eve])).toBe('')
  })

  test('before they were durable, likewise', async () => {
    const bench = new Bench()
    await bench.report([ada])
    await bench.run([ada, eve])
    bench.outbox.fail()
    await Promise.resolve()
    expect(await bench.report([ada, eve])).toBe('snapshot! 1')
    expect(bench.receiver).toMatchObject({ rows: [ada, eve], isStale: false })
  })
})

describe('a result too large for a record', () => {
  const wide: Cell[][] = Array.from({ length: 40 }, (_, index) => [index, 'x'.repeat(20)])

  test('is cut to the rows that fit, and stays so from run to run', async () => {
    const bench = new Bench()
    bench.outbox.recordMaxBytes = 700
    expect(await bench.run(wide)).toMatchObject({ recordCount: 1, leftOutCount: 20 })
    expect(await bench.run(wide)).toMatchObject({ recordCount: 0, leftOutCount: 20 })
    await bench.settle()
    expect(bench.receiver.rows).toEqual(wide.slice(0, 20))
  })

  test('as a change only, is sent as all rows', async () => {
    const bench = new Bench()
    await bench.report(wide.slice(0, 15))
    bench.outbox.recordMaxBytes = 700
    expect(await bench.report(wide.slice(15, 35))).toBe('snapshot 1')
    expect(bench.receiver.rows).toEqual(wide.slice(15, 35))
  })

  test('that can be no record at all is refused by name', async () => {
    const bench = new Bench()
    await expect(bench.run([['x'.repeat(1_048_577), 1]])).rejects.toMatchObject({ reason: 'cell-too-large' })
    await expect(bench.run([[1]], [''])).rejects.toMatchObject({ reason: 'bad-shape' })
    expect(bench.outbox.state.nextSeq).toBe(1)
  })
})

/** Whatever happens, a run that arrives leaves the receiver with exactly its rows. */
test('no sequence of changes, losses, restarts and crashes leaves a receiver wrong', async () => {
  const row = fc.tuple(fc.integer({ min: 0, max: 3 }), arbitraryCell)
  const action = fc.oneof(
    { weight: 6, arbitrary: fc.record({ do: fc.constant('run' as const), rows: fc.array(row, { maxLength: 6 }) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('lose' as const) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('pend' as const), rows: fc.array(row, { maxLength: 6 }) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const), isClean: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('wait' as const), hours: fc.integer({ min: 1, max: 30 }) }) },
  )
  const mode = fc.constantFrom('differential' as const, 'snapshot' as const)
  await fc.assert(
    fc.asyncProperty(mode, fc.array(action, { maxLength: 25 }), async (mode, actions) => {
      const bench = new Bench({ mode })
      let previous: Cell[][] | undefined
      for (const each of actions) {
        if (each.do === 'wait') await bench.clock.advance(each.hours * hourMs)
        else if (each.do === 'restart') {
          await bench.restart(each)
          // What was not durable may be forgotten: the change is then told from an older result.
          if (!each.isClean) previous = undefined
        } else if (each.do === 'pend') {
          await bench.run(each.rows)
          previous = each.rows
        } else if (each.do === 'lose') {
          const from = bench.outbox.state.nextSeq
          await bench.run([[9, from]])
          previous = [[9, from]]
          await bench.outbox.flush()
          bench.deliver(Array.from({ length: bench.outbox.state.nextSeq - from }, (_, index) => from + index))
        } else {
          const fromSeq = bench.outbox.state.nextSeq
          await bench.run(each.rows)
          await bench.settle()
          expect(bench.receiver.isStale).toBe(false)
          expect(bench.receiver.rows?.map(rowKey).sort()).toEqual(each.rows.map(rowKey).sort())
          const ownRecords = bench.outbox.records.filter(({ seq }) => seq >= fromSeq)
          const delta = ownRecords.find(({ kind }) => kind === 'delta') as DeltaRecord | undefined
          if (delta !== undefined && previous !== undefined) {
            const expected = diffRows(previous, each.rows)
            expect(toRows(delta.added).map(rowKey).sort()).toEqual(expected.added.map(rowKey).sort())
            expect(toRows(delta.removed).map(rowKey).sort()).toEqual(expected.removed.map(rowKey).sort())
          }
          previous = each.rows
        }
      }
      await bench.end()
    }),
    { numRuns: 100 },
  )
})
