// The journal's core against a plain model, on a real database file. A crash is the copy of the files as they lie on
// disk at that moment, opened instead of the original.
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { compress } from '../../protocol/compression.ts'
import type { DeviceId } from '../../protocol/ids.ts'
import type { DeviceRecord } from '../../protocol/records.ts'
import type { Publish } from './batch.ts'
import { maxEpochsPerDevice, maxRangesPerEpoch } from './epochs.ts'
import { Journal } from './journal.ts'
import { openJournalReader, type JournalReader, type StoredRecord } from './read.ts'

let folder: string
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'tidegate-journal-'))))
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const press = 'press-1' as DeviceId
const epoch = 'epoch-of-tests'
const open = (name = 'journal.db') =>
  new Journal({ path: join(folder, name), reserveBytes: 65_536, now: () => 1_700_000_000_000 })

function read<T>(work: (reader: JournalReader) => T, name = 'journal.db'): T {
  const reader = openJournalReader(join(folder, name))
  try {
    return work(reader)
  } finally {
    reader.close()
  }
}

const all = (name?: string): StoredRecord[] => read((reader) => reader.after(0, { limit: 1_000_000 }), name)

function publishOf(
  records: readonly unknown[],
  { device = press, head = {} as object, encoding = 'json' as const } = {},
): Publish {
  return { device, encoding, payload: Buffer.from(JSON.stringify({ v: 1, device, epoch, records, ...head })) }
}

function snapshot(seq: number): DeviceRecord {
  return { kind: 'snapshot', seq, atMs: seq, name: 'uptime', columns: ['total_seconds'], rows: [[seq]] }
}

test('a record is kept whole, unknown fields too, with what readers ask for in columns of its own', () => {
  const journal = open()
  const answer = { kind: 'answer', seq: 2, queryId: 'q-1', status: 'ok', columns: [], rows: [], part: 0, parts: 1 }
  const later = { kind: 'vibration', seq: 3, spectrum: [1, 2], atMs: 5 }
  const outcome = journal.commit([
    publishOf([{ ...snapshot(1), colour: 'blue' }, answer, later], { head: { clock: 'unsynced' } }),
  ])
  expect(outcome.committed).toEqual({ lastId: 3, stored: 3, answers: 1 })
  expect(outcome.outcomes).toMatchObject([{ state: 'stored', stored: 3, duplicates: 0, lastId: 3 }])
  const rows = all()
  expect(rows.map(({ id, kind, name, isAnswer, seq, clock }) => ({ id, kind, name, isAnswer, seq, clock }))).toEqual([
    { id: 1, kind: 'snapshot', name: 'uptime', isAnswer: false, seq: 1, clock: 'unsynced' },
    { id: 2, kind: 'answer', name: 'q-1', isAnswer: true, seq: 2, clock: 'unsynced' },
    { id: 3, kind: 'vibration', name: null, isAnswer: false, seq: 3, clock: 'unsynced' },
  ])
  expect(rows.map(({ body }) => JSON.parse(body) as unknown)).toEqual([
    { ...snapshot(1), colour: 'blue' },
    answer,
    later,
  ])
  expect(read((reader) => reader.after(0, { only: 'answers' })).map(({ id }) => id)).toEqual([2])
  expect(read((reader) => reader.after(1, { only: 'history' })).map(({ id }) => id)).toEqual([3])
  journal.close()
})

test('a publish that cannot be read leaves a trace and does not disturb the others of its batch', () => {
  const journal = open()
  const broken: Publish = { device: press, encoding: 'json', payload: Buffer.from('{"v":1') }
  const bomb: Publish = { device: press, encoding: 'br', payload: compress('br', Buffer.alloc(9 * 1_048_576)) }
  const { outcomes } = journal.commit([publishOf([snapshot(1)]), broken, bomb, publishOf([snapshot(2)])])
  expect(outcomes).toMatchObject([
    { state: 'stored', stored: 1 },
    { state: 'refused', reason: 'not-json' },
    { state: 'refused', reason: 'too-large' },
    { state: 'stored', stored: 1 },
  ])
  expect(all().map(({ kind, seq }) => ({ kind, seq }))).toEqual([
    { kind: 'snapshot', seq: 1 },
    { kind: 'refused', seq: null },
    { kind: 'refused', seq: null },
    { kind: 'snapshot', seq: 2 },
  ])
  expect(journal.ledger()[0]?.refused).toBe(2)
  journal.close()
})

test('a later protocol version is refused without a trace: the device keeps it', () => {
  const journal = open()
  const { outcomes } = journal.commit([publishOf([snapshot(1)], { head: { v: 2 } })])
  expect(outcomes).toMatchObject([{ state: 'refused', reason: 'version-unsupported' }])
  expect(all()).toEqual([])
  expect(journal.ledger()).toMatchObject([{ device: press, refused: 0, epochs: [] }])
  journal.close()
})

test('records without a counter are kept each time, and counted', () => {
  const journal = open()
  const record = { kind: 'snapshot', name: 'uptime', columns: ['a'], rows: [[1]] }
  const payload = Buffer.from(JSON.stringify({ v: 1, device: press, records: [record] }))
  for (let round = 0; round < 2; round++) journal.commit([{ device: press, encoding: 'json', payload }])
  expect(all().map(({ seq, epoch: of }) => ({ seq, of }))).toEqual([
    { seq: null, of: null },
    { seq: null, of: null },
  ])
  expect(journal.ledger()).toMatchObject([{ unsequenced: 2, epochs: [] }])
  journal.close()
})

test('the ledger tells lost from missing: a gap record accounts for its seqs, a hole does not', () => {
  const journal = open()
  const gap = { kind: 'gap', seq: 9, from: 2, to: 4, reason: 'outbox-full' }
  journal.commit([publishOf([snapshot(1), snapshot(5), gap, snapshot(8)])])
  const ledger = () => journal.ledger(press)[0]?.epochs[0]
  expect(ledger()).toMatchObject({
    received: [
      [1, 1],
      [5, 5],
      [8, 9],
    ],
    lost: [{ from: 2, to: 4, reason: 'outbox-full' }],
    missing: [[6, 7]],
  })
  journal.commit([publishOf([snapshot(6), snapshot(7), snapshot(3)])])
  expect(ledger()).toMatchObject({
    received: [
      [1, 1],
      [3, 3],
      [5, 9],
    ],
    missing: [],
  })
  journal.close()
})

test('a batch that grows large in Brotli is taken in parts, so that no transaction is without bound', () => {
  const journal = open()
  const batch = [1, 2, 3].map((seq): Publish => {
    const record = { ...snapshot(seq), columns: ['a', 'b', 'c', 'd'], rows: Array(4).fill(['x'.repeat(1_048_576)]) }
    const text = JSON.stringify({ v: 1, device: press, epoch, records: [record] })
    return { device: press, encoding: 'br', payload: compress('br', Buffer.from(text)) }
  })
  expect(journal.commit(batch).outcomes).toHaveLength(2)
  expect(journal.commit(batch.slice(2)).outcomes).toMatchObject([{ stored: 1, lastId: 3 }])
  journal.close()
})

test('a device that skips seqs without end is refused past the limit of ranges, and can still fill its holes', () => {
  const journal = open()
  const commit = (seqs: number[]) => journal.commit([publishOf(seqs.map(snapshot))]).outcomes[0]?.state
  for (let from = 0; from < maxRangesPerEpoch; from += 1000) {
    expect(commit(Array.from({ length: 1000 }, (_, index) => 2 * (from + index) + 1))).toBe('stored')
  }
  expect(commit([2 * maxRangesPerEpoch + 1])).toBe('refused')
  expect(commit([2])).toBe('stored')
  expect(commit([2 * maxRangesPerEpoch + 1])).toBe('stored')
  journal.close()
})

test('the oldest epoch of a device makes room for a new one once its records have left, never before', () => {
  const journal = open()
  const commit = (name: string) =>
    journal.commit([publishOf([snapshot(1)], { head: { epoch: name } })]).outcomes[0]?.state
  for (let index = 0; index < maxEpochsPerDevice; index++) expect(commit(`epoch-${index}-of-many`)).toBe('stored')
  expect(commit('epoch-too-many')).toBe('refused')
  while (journal.trimStep({ historyUpTo: 10, answersUpTo: 10 }) > 0);
  expect(commit('epoch-too-many')).toBe('stored')
  const epochs = journal.ledger(press)[0]?.epochs.map(({ epoch: name }) => name) ?? []
  expect(epochs).toHaveLength(maxEpochsPerDevice)
  expect(epochs).not.toContain('epoch-0-of-many')
  expect(all().every(({ epoch: of, kind }) => of !== null || kind === 'refused')).toBe(true)
  journal.close()
})

test('trim deletes what it may and nothing else; ids and what was received stay known', () => {
  const journal = open()
  const answer = (seq: number) => ({
    kind: 'answer',
    seq,
    queryId: 'q-1',
    status: 'ok',
    columns: [],
    rows: [],
    part: 0,
    parts: 1,
  })
  journal.commit([publishOf([snapshot(1), answer(2), snapshot(3), answer(4), snapshot(5)])])
  const trim = (historyUpTo: number, answersUpTo: number) => {
    while (journal.trimStep({ historyUpTo, answersUpTo }) > 0);
    return all().map(({ id }) => id)
  }
  expect(trim(3, 0)).toEqual([2, 4, 5])
  expect(trim(3, 2)).toEqual([4, 5])
  expect(trim(5, 5)).toEqual([])
  journal.close()
  const again = open()
  expect(again.stats()).toMatchObject({ lastId: 5, firstId: undefined })
  expect(read((reader) => reader.newestId())).toBe(5)
  expect(again.commit([publishOf([snapshot(3), snapshot(6)])]).outcomes).toMatchObject([
    { stored: 1, duplicates: 1, lastId: 6 },
  ])
  again.close()
})

test('one device cannot fill the journal: near the limit it has to wait, and the others go on', () => {
  const journal = new Journal({ path: join(folder, 'journal.db'), maxBytes: 4 * 1_048_576, reserveBytes: 65_536 })
  const commit = (name: string, seq: number) => {
    const record = { ...snapshot(seq), columns: ['text'], rows: [['x'.repeat(20_000)]] }
    return journal.commit([publishOf([record], { device: name as DeviceId })]).outcomes[0]?.state
  }
  let seq = 1
  while (commit('greedy', seq) === 'stored') seq++
  expect(commit('greedy', seq)).toBe('over-share')
  expect(seq * 20_000).toBeGreaterThan(2 * 1_048_576)
  for (let other = 1; other <= 20; other++) expect(commit('modest', other)).toBe('stored')
  while (journal.trimStep({ historyUpTo: seq / 2, answersUpTo: 0 }) > 0);
  expect(commit('greedy', seq)).toBe('stored')
  journal.close()
})

/** A journal on which the insertion of a record named 'trap' fails, as any statement may on a bad disk. */
function openWithTrap(name: string): Journal {
  const journal = open(name)
  const database = new Database(join(folder, name))
  database.exec(
    `CREATE TRIGGER trap BEFORE INSERT ON record WHEN NEW.name = 'trap' BEGIN SELECT raise(ABORT, 'the trap'); END`,
  )
  database.close()
  return journal
}

type Row = { name: string; bytes: number }

/** One thing that happens to the journal in the model test. */
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('commit' as const),
      publishes: fc.array(
        fc.record({
          device: fc.integer({ min: 1, max: 3 }),
          epoch: fc.integer({ min: 1, max: 2 }),
          encoding: fc.constantFrom('json' as const, 'br' as const),
          seqs: fc.uniqueArray(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 6 }),
          isBroken: fc.boolean(),
        }),
        { minLength: 1, maxLength: 5 },
      ),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('crash' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('fail' as const), seq: fc.integer({ min: 1, max: 30 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('trim' as const), upTo: fc.integer({ min: 0, max: 60 }) }) },
)

test('whatever is published, refused, trimmed, failed and crashed, the journal equals a plain model', () => {
  let run = 0
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 25 }), (steps) => {
      let name = `${++run}-0.db`
      let journal = openWithTrap(name)
      const seen = new Set<string>()
      let rows: string[] = []
      let lastId = 0
      const key = (device: string, of: string | null, seq: number | null) => `${device}/${of}/${seq}`
      for (const [index, action] of steps.entries()) {
        if (action.kind === 'commit') {
          const publishes = action.publishes.map(({ device, epoch: number, encoding, seqs, isBroken }): Publish => {
            const id = `press-${device}` as DeviceId
            const text = JSON.stringify({
              v: 1,
              device: id,
              epoch: `epoch-number-${number}`,
              records: seqs.map(snapshot),
            })
            const json = Buffer.from(isBroken ? text.slice(0, -2) : text)
            return { device: id, encoding, payload: encoding === 'br' ? compress('br', json) : json }
          })
          const { outcomes } = journal.commit(publishes)
          for (const [at, { device, epoch: number, seqs, isBroken }] of action.publishes.entries()) {
            const id = `press-${device}`
            if (isBroken) {
              expect(outcomes[at]).toMatchObject({ state: 'refused', reason: 'not-json' })
              rows.push(key(id, null, null))
              lastId++
              continue
            }
            const fresh = seqs.filter((seq) => !seen.has(key(id, `epoch-number-${number}`, seq)))
            expect(outcomes[at]).toMatchObject({
              state: 'stored',
              stored: fresh.length,
              duplicates: seqs.length - fresh.length,
            })
            for (const seq of fresh) {
              const record = key(id, `epoch-number-${number}`, seq)
              seen.add(record)
              rows.push(record)
              lastId++
            }
          }
        } else if (action.kind === 'crash') {
          // What is on disk now, without anything that close() would still do.
          const next = `${run}-${index + 1}.db`
          for (const suffix of ['', '-wal']) {
            if (existsSync(join(folder, name + suffix)))
              copyFileSync(join(folder, name + suffix), join(folder, next + suffix))
          }
          journal.close()
          name = next
          journal = open(name)
        } else if (action.kind === 'fail') {
          const head = { epoch: `epoch-number-${1 + (action.seq % 2)}` }
          const batch = [
            publishOf([snapshot(action.seq)], { head }),
            publishOf([{ ...snapshot(31), name: 'trap' }], { head }),
          ]
          expect(() => journal.commit(batch)).toThrow(/the trap/)
        } else {
          while (journal.trimStep({ historyUpTo: action.upTo, answersUpTo: action.upTo }) > 0);
          const kept = all(name).map(({ id }) => id)
          expect(kept.every((id) => id > action.upTo)).toBe(true)
          rows = rows.filter((_, at) => at >= rows.length - kept.length)
        }
        expect(all(name).map(({ device, epoch: of, seq }) => key(device, of, seq))).toEqual(rows)
        expect(journal.stats().lastId).toBe(lastId)
      }
      const received = journal
        .ledger()
        .flatMap(({ device, epochs }) =>
          epochs.flatMap(({ epoch: of, received: ranges }) =>
            ranges.flatMap(([from, to]) =>
              Array.from({ length: to - from + 1 }, (_, at) => key(device, of, from + at)),
            ),
          ),
        )
      expect(received.sort()).toEqual([...seen].sort())
      const held = new Map<string, number>()
      for (const { device, body } of all(name)) held.set(device, (held.get(device) ?? 0) + Buffer.byteLength(body))
      const database = new Database(join(folder, name), { readonly: true })
      for (const { name: device, bytes } of database.prepare('SELECT name, bytes FROM device').all() as Row[]) {
        expect(bytes).toBe(held.get(device) ?? 0)
      }
      database.close()
      journal.close()
    }),
    { numRuns: 40 },
  )
})
