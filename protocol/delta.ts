// The difference between two results, as osquery defines it: rows are compared whole and typed, as multisets
// (diff_results.cpp). diff and apply are inverse up to the order of rows.
import { cellKey } from './cells.ts'
import type { RowCells } from './columnar.ts'

export interface RowDelta {
  added: RowCells[]
  removed: RowCells[]
}

/** A string that is equal for equal rows: types and order of columns count. */
export function rowKey(row: RowCells): string {
  return row.map(cellKey).join(',')
}

/** Rows to add to and remove from `before` so that it equals `after` as a multiset. */
export function diffRows(before: readonly RowCells[], after: readonly RowCells[]): RowDelta {
  const left = new Map<string, RowCells[]>()
  for (const row of before) {
    const key = rowKey(row)
    const same = left.get(key)
    if (same) same.push(row)
    else left.set(key, [row])
  }
  const added: RowCells[] = []
  for (const row of after) {
    const same = left.get(rowKey(row))
    if (same && same.length > 0) same.pop()
    else added.push(row)
  }
  return { added, removed: [...left.values()].flat() }
}

/** `before` without `removed`, then `added`. Undefined when a removed row is not there: the base was another one. */
export function applyDelta(before: readonly RowCells[], delta: RowDelta): RowCells[] | undefined {
  const gone = new Map<string, number>()
  for (const row of delta.removed) gone.set(rowKey(row), (gone.get(rowKey(row)) ?? 0) + 1)
  let toRemove = delta.removed.length
  const kept = before.filter((row) => {
    if (toRemove === 0) return true
    const key = rowKey(row)
    const count = gone.get(key) ?? 0
    if (count === 0) return true
    gone.set(key, count - 1)
    toRemove--
    return false
  })
  return toRemove === 0 ? [...kept, ...delta.added] : undefined
}
