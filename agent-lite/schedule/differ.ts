// Which record a run leads to, decided from what the receiver has after the last one. Pure; one step at a time, because
// a record can turn out too large to send.
import { createHash } from 'node:crypto'
import type { Cell } from '../../protocol/cells.ts'
import type { RowCells } from '../../protocol/columnar.ts'
import { diffRows } from '../../protocol/delta.ts'

export interface Result {
  columns: string[]
  rows: Cell[][]
}

/** What the receiver has once all records of a query have arrived. */
export interface Held {
  mode: 'snapshot' | 'differential'
  /** osquery's: 0 with the first result, one more with each change. Always 0 in snapshot mode. */
  counter: number
  /** Of the rows in the order in which they last came. */
  digest: string
  /** The newest record of this query. */
  seq: number
  /** The newest one with all rows; what follows it builds on it. */
  snapshotSeq: number
  snapshotAtMs: number
  /** Records since then. */
  deltaCount: number
  /** When the newest record was made. */
  reportedAtMs: number
  /** The receiver cannot have what is written here: all rows must be sent again. */
  isBroken: boolean
}

export interface Policy {
  freshnessMs: number
  resyncEveryMs: number
  resyncAfter: number
}

export type Step =
  | { kind: 'snapshot'; result: Result; counter: number; isResync: boolean }
  | { kind: 'delta'; columns: string[]; added: RowCells[]; removed: RowCells[]; counter: number }

export interface Question {
  mode: Held['mode']
  result: Result
  digest: string
  held: Held | undefined
  /** The rows the receiver has; undefined when they are not known any more. Read only when they are needed. */
  heldResult(): Promise<Result | undefined>
  /** This run has led to a record already. */
  isReported: boolean
  /** A delta, or what was to be repeated before it, did not fit into a record: all rows, as they are now, must do. */
  mustBeWhole: boolean
  policy: Policy
  nowMs: number
}

/** The next record to make, or undefined when the receiver is as it should be. */
export async function nextStep(question: Question): Promise<Step | undefined> {
  const { mode, result, digest, held } = question
  if (held === undefined || held.mode !== mode) return { kind: 'snapshot', result, counter: 0, isResync: false }
  const isDue = isSnapshotDue(held, question)
  if (held.digest === digest) return whenUnchanged(question, held, isDue)
  const before = await question.heldResult()
  if (before === undefined) return { kind: 'snapshot', result, counter: 0, isResync: false }
  const counter = mode === 'snapshot' ? 0 : held.counter + 1
  if (!sameColumns(before.columns, result.columns) || question.mustBeWhole) {
    return { kind: 'snapshot', result, counter, isResync: false }
  }
  const { added, removed } = diffRows(before.rows, result.rows)
  if (added.length === 0 && removed.length === 0) return whenUnchanged(question, held, isDue)
  if (mode === 'snapshot') {
    const isSmaller = !isDue && size(added) + size(removed) < size(result.rows)
    return isSmaller
      ? { kind: 'delta', columns: result.columns, added, removed, counter }
      : { kind: 'snapshot', result, counter, isResync: false }
  }
  // A resync is not news and is not logged, so it repeats what was known; the change follows as a delta, which is.
  if (isDue) return { kind: 'snapshot', result: before, counter: held.counter, isResync: true }
  return { kind: 'delta', columns: result.columns, added, removed, counter }
}

function whenUnchanged(question: Question, held: Held, isDue: boolean): Step | undefined {
  const { mode, result, policy, nowMs, isReported } = question
  const { counter } = held
  if (isReported) return undefined
  if (isDue) return { kind: 'snapshot', result, counter, isResync: mode === 'differential' }
  const isSilent = mode === 'differential' && Math.abs(nowMs - held.reportedAtMs) < policy.freshnessMs
  return isSilent ? undefined : { kind: 'delta', columns: result.columns, added: [], removed: [], counter }
}

function isSnapshotDue(held: Held, { policy, nowMs }: Question): boolean {
  // Either way: a clock that was set back must not put it off.
  const isOld = Math.abs(nowMs - held.snapshotAtMs) >= policy.resyncEveryMs
  return held.isBroken || isOld || held.deltaCount >= policy.resyncAfter
}

export function digestOf({ columns, rows }: Result): { digest: string; jsonBytes: number } {
  const json = JSON.stringify([columns, rows])
  return { digest: createHash('sha256').update(json).digest('base64url'), jsonBytes: Buffer.byteLength(json) }
}

function size(rows: readonly RowCells[]): number {
  return rows.length === 0 ? 0 : JSON.stringify(rows).length
}

function sameColumns(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((name, index) => name === right[index])
}
