// What goes into the engine and what comes out: shared by the core, its worker and the client in the main thread.
import type { Cell } from '../../protocol/cells.ts'
import type { AgentFacts } from '../tables/define.ts'

export interface QueryLimits {
  timeoutMs: number
  /** Rows beyond are left out and `truncated` says so. */
  maxRows: number
  /** The same for the bytes of all values: text and blobs as they are, 8 for a number, 1 for NULL. */
  maxBytes: number
}

export const defaultLimits: QueryLimits = { timeoutMs: 60_000, maxRows: 100_000, maxBytes: 64 * 1_048_576 }

export interface QueryColumn {
  name: string
  /** The declared type of a table's column, such as 'BIGINT'; '' for an expression. */
  type: string
}

export interface QueryStats {
  wallTimeMs: number
  /** CPU time of the engine's thread, to 10 ms; left out where /proc does not tell. */
  userTimeMs?: number
  systemTimeMs?: number
  /** The most that SQLite's allocator held. */
  memoryBytes: number
}

export interface QueryOutcome {
  columns: QueryColumn[]
  truncated?: 'rows' | 'bytes'
  /** Distinct, at most 100 of at most 1024 characters. */
  warnings: string[]
  stats: QueryStats
}

export interface QueryResult extends QueryOutcome {
  /** `rows[r][c]`; empty when they were taken by `onRows`. */
  rows: Cell[][]
}

export interface CoreQuery extends QueryLimits {
  facts: AgentFacts
  /** Asked at least every few thousand steps of the statement. */
  isCancelled(): boolean
  /** Takes rows in batches, in order. */
  onRows(rows: Cell[][], columns: readonly QueryColumn[]): void
}

export interface PreparedTable {
  name: string
  /** The statement names this table without a condition on any of its required columns: it will fail. */
  isRequiredMissing: boolean
}

export interface Prepared {
  columns: QueryColumn[]
  /** Tables that the statement reads, each once, by their own name. */
  tables: PreparedTable[]
}
