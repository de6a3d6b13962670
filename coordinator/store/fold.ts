// Folding of records into the rows of one (host, query), in the order of history. Pure: the store and the result log
// each keep a fold of their own and share this. A delta whose base is not what is held never guesses.
import { toColumnar, toRows, type Columnar } from '../../protocol/columnar.ts'
import { applyDelta } from '../../protocol/delta.ts'
import type { DeltaRecord, SnapshotRecord } from '../../protocol/records.ts'

/** Where a result stands in the life of its device. Without epoch and seq only the site's clock tells. */
export interface Position {
  epoch: string | null
  seq: number | null
  receivedAtMs: number
}

export interface Folded extends Position {
  columns: string[]
  /** Called only when the rows are needed: most deltas say that nothing changed. */
  rows: () => Columnar
  /** A delta did not fit: the rows are those before it, until the next snapshot. */
  stale: boolean
}

export type FoldOutcome = 'changed' | 'unchanged' | 'older' | 'unfit'

/** Whether `a` is at or after `b`. */
export function isAtOrAfter(a: Position, b: Position): boolean {
  if (a.epoch !== null && a.epoch === b.epoch && a.seq !== null && b.seq !== null) return a.seq >= b.seq
  return a.receivedAtMs >= b.receivedAtMs
}

/** The rows after a snapshot or delta. `older`: it came before what is held. `unfit`: its base is not held. */
export function foldRecord(
  before: Folded | undefined,
  record: SnapshotRecord | DeltaRecord,
  at: Position,
): { folded: Folded | undefined; outcome: FoldOutcome } {
  if (before !== undefined && !before.stale && !isAtOrAfter(at, before)) return { folded: before, outcome: 'older' }
  if (record.kind === 'snapshot') {
    const { columns, rows } = record
    return { folded: { ...at, columns, rows: () => rows, stale: false }, outcome: 'changed' }
  }
  if (before === undefined) return { folded: undefined, outcome: 'unfit' }
  const fits = !before.stale && before.epoch === at.epoch && before.seq === record.base
  if (fits && isEmpty(record.added) && isEmpty(record.removed)) {
    return { folded: { ...before, ...at }, outcome: 'unchanged' }
  }
  const rows =
    fits && sameColumns(before.columns, record.columns)
      ? applyDelta(toRows(before.rows()), { added: toRows(record.added), removed: toRows(record.removed) })
      : undefined
  if (rows === undefined) return { folded: { ...before, stale: true }, outcome: 'unfit' }
  const columnar = toColumnar(before.columns.length, rows)
  return { folded: { ...before, ...at, rows: () => columnar }, outcome: 'changed' }
}

function isEmpty(columnar: readonly (readonly unknown[])[]): boolean {
  return (columnar[0]?.length ?? 0) === 0
}

function sameColumns(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name, index) => name === b[index])
}
