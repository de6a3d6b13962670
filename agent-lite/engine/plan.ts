// Which conditions of a statement reach a table's reader, and what a scan with them costs. The rules are osquery's
// (virtual_table.cpp xBestIndex): only columns marked index, required or additional; ranges never on text. SQLite checks
// every condition again, so pushing one down may save work but never changes a result.
import type { ConstraintOperator } from '../tables/define.ts'
import type { LaidOutColumn, Layout } from './layout.ts'

/** A condition as xBestIndex sees it, for one column of one table reference. */
export interface Term {
  column: number
  operator: ConstraintOperator | undefined
  isUsable: boolean
  /** The collation of the comparison. */
  collation: string
  /** Written as IN, and SQLite can hand over all its values at once. */
  isIn: boolean
}

export interface PushedTerm {
  /** Position in the list of terms. */
  term: number
  column: LaidOutColumn
  operator: ConstraintOperator
  /** All values of IN in one call. */
  isIn: boolean
}

export interface Plan {
  layout: Layout
  pushed: readonly PushedTerm[]
  cost: number
  /** Estimate for SQLite's join order. */
  rows: number
  isRequiredMissing: boolean
  /** A table of users' files, and no user is named. */
  isUserMissing: boolean
  /** Keys of the columns that the statement looks at, directly or through an alias. */
  used: ReadonlySet<string>
}

// Only the order of these matters: SQLite picks the join order with the lowest sum.
const costs = {
  equalOnIndex: { cost: 10, rows: 5 },
  otherOnIndex: { cost: 10_000, rows: 100 },
  additional: { cost: 100_000, rows: 100 },
  fullScan: { cost: 1_000_000, rows: 1000 },
  // Above any join order that names the user.
  userMissing: { cost: 1e12, rows: 1000 },
  requiredMissing: { cost: 1e15, rows: 1_000_000 },
}

const userKeys = new Set(['uid', 'username'])

/** Decides for one table reference. `used` is SQLite's colUsed. */
export function plan(layout: Layout, terms: readonly Term[], used: bigint): Plan {
  const pushed = terms.flatMap((term, index) => {
    const column = layout.columns[term.column]
    if (column === undefined || term.operator === undefined || !isPushable(column, term)) return []
    const isIn = term.isIn && (column.spec.optimized === true || column.spec.index === true)
    return [{ term: index, column, operator: term.operator, isIn }]
  })
  const isRequiredMissing = layout.hasRequired && !pushed.some(({ column }) => column.spec.required)
  const isUserMissing = layout.table.userData === true && !pushed.some(({ column }) => userKeys.has(column.key))
  return {
    layout,
    pushed,
    isRequiredMissing,
    isUserMissing,
    used: usedKeys(layout, used),
    ...(isRequiredMissing ? costs.requiredMissing : isUserMissing ? costs.userMissing : costOf(pushed)),
  }
}

// One bit per column; the 64th stands for all columns from there on.
function usedKeys({ columns }: Layout, used: bigint): Set<string> {
  const isUsed = (index: number) => ((used >> BigInt(Math.min(index, 63))) & 1n) === 1n
  return new Set(columns.filter((_, index) => isUsed(index)).map(({ key }) => key))
}

function isPushable({ spec }: LaidOutColumn, term: Term): boolean {
  if (!term.isUsable || !(spec.index || spec.required || spec.additional)) return false
  if (spec.type !== 'TEXT' && spec.type !== 'BLOB') return true
  if (term.operator === 'LIKE' || term.operator === 'GLOB') return true
  if (term.operator !== '=') return false
  // `path = 'X' COLLATE NOCASE` also wants 'x', which a reader that looks up 'X' would not find.
  return term.collation === 'BINARY' || term.collation === spec.collate
}

function costOf(pushed: readonly PushedTerm[]): { cost: number; rows: number } {
  const onIndex = pushed.filter(({ column }) => column.spec.index || column.spec.required)
  if (onIndex.some(({ operator }) => operator === '=')) return costs.equalOnIndex
  if (onIndex.length > 0) return costs.otherOnIndex
  return pushed.length > 0 ? costs.additional : costs.fullScan
}
