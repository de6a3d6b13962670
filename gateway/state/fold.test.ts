import fc from 'fast-check'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { migrationsFolder } from '../../lib/program-file.ts'
import { openDatabase, type Database } from '../../lib/sqlite/open.ts'
import type { Cell } from '../../protocol/cells.ts'
import { toColumnar, toRows } from '../../protocol/columnar.ts'
import { diffRows, rowKey } from '../../protocol/delta.ts'
import { Fold, unpackRows, type FoldInput } from './fold.ts'
import { newestTables } from './read.ts'

let folder: string
let database: Database.Database

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tg-fold-'))
  database = openDatabase(join(folder, 'state.db'), { migrations: migrationsFolder('gateway', 'state') })
})
afterEach(() => {
  database.close()
  rmSync(folder, { recursive: true })
})

function input(id: number, seq: number, record: Record<string, unknown>, more: Partial<FoldInput> = {}): FoldInput {
  return {
    id,
    device: 'press-2',
    epoch: 'epoch-0001',
    seq,
    kind: String(record.kind),
    observedAtMs: 1_000_000 + id,
    receivedAtMs: 2_000_000 + id,
    body: JSON.stringify({ seq, ...record }),
    ...more,
  }
}

const snapshot = (rows: Cell[][]) => ({ kind: 'snapshot', name: 'q', columns: ['a', 'b'], rows: toColumnar(2, rows) })
const delta = (base: number, added: Cell[][], removed: Cell[][]) => ({
  kind: 'delta',
  name: 'q',
  base,
  columns: ['a', 'b'],
  added: toColumnar(2, added),
  removed: toColumnar(2, removed),
})

function held(): { rows: Cell[][]; stale: number; observedAtMs: number; changes: number } {
  const row = database
    .prepare('SELECT rows, stale, observed_at_ms, journal_id FROM latest JOIN seen ON latest_id = latest.id')
    .get() as { rows: Buffer; stale: number; observed_at_ms: number; journal_id: number }
  return {
    rows: toRows(unpackRows(row.rows)),
    stale: row.stale,
    observedAtMs: row.observed_at_ms,
    changes: row.journal_id,
  }
}

test('applies a delta to the rows it was made from', () => {
  const fold = new Fold(database)
  fold.apply([
    input(
      1,
      1,
      snapshot([
        [1, 'x'],
        [2, 'y'],
      ]),
    ),
    input(2, 2, delta(1, [[3, 'z']], [[1, 'x']])),
  ])
  expect(held().rows).toEqual([
    [2, 'y'],
    [3, 'z'],
  ])
})

test('marks a table stale when the base of a delta is not held, and mends it with the next snapshot', () => {
  const fold = new Fold(database)
  fold.apply([input(1, 1, snapshot([[1, 'x']])), input(2, 3, delta(2, [[3, 'z']], []))])
  expect(held()).toMatchObject({ rows: [[1, 'x']], stale: 1 })
  fold.apply([input(3, 4, delta(3, [[4, 'w']], []))])
  expect(held()).toMatchObject({ rows: [[1, 'x']], stale: 1 })
  fold.apply([input(4, 5, snapshot([[5, 'v']]))])
  expect(held()).toMatchObject({ rows: [[5, 'v']], stale: 0 })
})

test('notes that an unchanged table was looked at without writing its rows again', () => {
  const fold = new Fold(database)
  fold.apply([input(1, 1, snapshot([[1, 'x']]))])
  fold.apply([input(2, 2, delta(1, [], [])), input(3, 3, snapshot([[1, 'x']]))])
  expect(held()).toMatchObject({ observedAtMs: 1_000_003, changes: 1 })
})

test('ignores an older record of the same epoch that arrives again', () => {
  const fold = new Fold(database)
  fold.apply([input(1, 5, snapshot([[5, 'new']])), input(2, 4, snapshot([[4, 'old']]))])
  expect(held().rows).toEqual([[5, 'new']])
})

test('takes unsequenced snapshots in the order of their arrival', () => {
  const fold = new Fold(database)
  const unsequenced = { epoch: null, seq: null }
  fold.apply([input(1, 1, snapshot([[1, 'x']]), unsequenced), input(2, 1, snapshot([[2, 'y']]), unsequenced)])
  expect(held()).toMatchObject({ rows: [[2, 'y']], observedAtMs: 1_000_002 })
})

test('offers changed tables for the state lane once, in the order of their change', () => {
  const fold = new Fold(database)
  fold.apply([input(1, 1, snapshot([[1, 'x']])), input(2, 2, { ...snapshot([[2, 'y']]), name: 'r' })])
  expect(newestTables(database, 0, 10).map(({ item }) => item.name)).toEqual(['q', 'r'])
  fold.apply([input(3, 3, delta(1, [], []))])
  expect(newestTables(database, 2, 10)).toEqual([])
})

const cell: fc.Arbitrary<Cell> = fc.oneof(
  fc.constantFrom<Cell>(null, 1, 2, '1', { d: '1' }),
  fc.string({ maxLength: 3 }),
)
const rowsArbitrary = fc.array(fc.tuple(cell, cell), { maxLength: 6 })

test('any history of snapshots and deltas, folded in any batches and across restarts, ends with the last rows', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ rows: rowsArbitrary, asDelta: fc.boolean(), flush: fc.boolean(), restart: fc.boolean() }), {
        minLength: 1,
        maxLength: 12,
      }),
      (steps) => {
        database.exec('DELETE FROM latest; DELETE FROM device; UPDATE fold SET journal_id = 0')
        let fold = new Fold(database)
        let last: Cell[][] | undefined
        let batch: FoldInput[] = []
        for (const [index, step] of steps.entries()) {
          const seq = index + 1
          const change = last && step.asDelta ? diffRows(last, step.rows) : undefined
          const record = change
            ? delta(
                seq - 1,
                change.added.map((row) => [...row]),
                change.removed.map((row) => [...row]),
              )
            : snapshot(step.rows)
          batch.push(input(seq, seq, record))
          last = step.rows
          if (step.flush) {
            fold.apply(batch)
            // A crash after the commit makes the reader see some of it again.
            if (!step.restart) batch = []
            else fold = new Fold(database)
          }
        }
        fold.apply(batch)
        expect(held().rows.map(rowKey).sort()).toEqual((last ?? []).map(rowKey).sort())
        expect(fold.journalId).toBe(steps.length)
      },
    ),
    { numRuns: 100 },
  )
})
