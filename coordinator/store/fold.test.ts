import fc from 'fast-check'
import { expect, test } from 'vitest'
import { toColumnar, toRows } from '../../protocol/columnar.ts'
import { diffRows } from '../../protocol/delta.ts'
import type { DeltaRecord, SnapshotRecord } from '../../protocol/records.ts'
import { foldRecord, isAtOrAfter, type Folded } from './fold.ts'

const at = (seq: number, epoch = 'epoch-1') => ({ epoch, seq, receivedAtMs: seq })
const snapshot = (seq: number, rows: number[][]): SnapshotRecord => ({
  kind: 'snapshot',
  seq,
  name: 'q',
  columns: ['a'],
  rows: toColumnar(1, rows),
})
const delta = (seq: number, base: number, added: number[][], removed: number[][] = []): DeltaRecord => ({
  kind: 'delta',
  seq,
  base,
  name: 'q',
  columns: ['a'],
  added: toColumnar(1, added),
  removed: toColumnar(1, removed),
})
const rowsOf = (folded: Folded | undefined) => toRows(folded?.rows() ?? [[]])

test('a snapshot and the changes since fold to what the device has, whatever it was', () => {
  const result = fc.array(fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 1 }), { maxLength: 6 })
  fc.assert(
    fc.property(fc.array(result, { minLength: 1, maxLength: 8 }), (results) => {
      let folded: Folded | undefined
      results.forEach((rows, index) => {
        const before = results[index - 1]
        const change = before && diffRows(before, rows)
        const record = change
          ? delta(index + 1, index, change.added as number[][], change.removed as number[][])
          : snapshot(1, rows)
        folded = foldRecord(folded, record, at(index + 1)).folded
      })
      expect(diffRows(rowsOf(folded), results.at(-1) ?? [])).toEqual({ added: [], removed: [] })
    }),
  )
})

test('a change whose base is not held leaves the rows and marks them stale until the next snapshot', () => {
  const first = foldRecord(undefined, snapshot(1, [[1]]), at(1)).folded
  const skipped = foldRecord(first, delta(3, 2, [[3]]), at(3))
  expect(skipped.outcome).toBe('unfit')
  expect([skipped.folded?.stale, rowsOf(skipped.folded)]).toEqual([true, [[1]]])
  expect(foldRecord(skipped.folded, delta(4, 3, []), at(4)).outcome).toBe('unfit')
  const healed = foldRecord(skipped.folded, snapshot(5, [[5]]), at(5)).folded
  expect([healed?.stale, rowsOf(healed)]).toEqual([false, [[5]]])
})

test('a change that removes a row that is not there, or has other columns, is not guessed at', () => {
  const first = foldRecord(undefined, snapshot(1, [[1]]), at(1)).folded
  expect(foldRecord(first, delta(2, 1, [], [[9]]), at(2)).outcome).toBe('unfit')
  expect(foldRecord(first, { ...delta(2, 1, [[2]]), columns: ['b'] }, at(2)).outcome).toBe('unfit')
  expect(foldRecord(undefined, delta(2, 1, [[2]]), at(2))).toEqual({ folded: undefined, outcome: 'unfit' })
})

test('what is older than what is held changes nothing', () => {
  const held = foldRecord(undefined, snapshot(5, [[5]]), at(5)).folded
  expect(foldRecord(held, snapshot(4, [[4]]), at(4))).toEqual({ folded: held, outcome: 'older' })
})

test('order is by number within an epoch, and by arrival at the gateway between epochs', () => {
  expect(isAtOrAfter({ epoch: 'e', seq: 2, receivedAtMs: 1 }, { epoch: 'e', seq: 1, receivedAtMs: 9 })).toBe(true)
  expect(isAtOrAfter({ epoch: 'f', seq: 1, receivedAtMs: 9 }, { epoch: 'e', seq: 7, receivedAtMs: 8 })).toBe(true)
  expect(isAtOrAfter({ epoch: null, seq: null, receivedAtMs: 7 }, { epoch: 'e', seq: 7, receivedAtMs: 8 })).toBe(false)
})
