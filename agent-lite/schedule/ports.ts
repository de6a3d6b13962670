// What the schedule needs of the rest of the agent. Engine and Outbox fit as they are; tests hand in simulations.
import type { Cell } from '../../protocol/cells.ts'
import type { Epoch } from '../../protocol/ids.ts'
import type { DeviceRecord } from '../../protocol/records.ts'
import type { SeqRange } from '../../protocol/seq-ranges.ts'
import type { QueryColumn, QueryStats } from '../engine/query.ts'
import type { AgentFacts } from '../tables/define.ts'

export interface QueryRunner {
  query(
    sql: string,
    options: { facts: AgentFacts; timeoutMs: number; maxRows: number; maxBytes: number; signal: AbortSignal },
  ): Promise<RunResult>
}

export interface RunResult {
  columns: readonly Pick<QueryColumn, 'name'>[]
  rows: Cell[][]
  truncated?: 'rows' | 'bytes'
  warnings: readonly string[]
  stats: QueryStats
}

export interface RecordSink {
  readonly epoch: Epoch
  /** What the start found lost, and the first seq it gave out. */
  readonly atStart: { lost: readonly SeqRange[]; nextSeq: number }
  readonly state: { nextSeq: number }
  /** Throws Refusal `too-large` or AppError OUTBOX_STUCK; no seq is used up then. `stored` never rejects. */
  add(record: Omit<DeviceRecord, 'seq'>): { seq: number; stored: Promise<boolean> }
  /** Resolves when everything added before is durable or given up. */
  flush(): Promise<void>
}

/** Statements that ended the engine and must not run for now. */
export interface DenyList {
  /** Why it must not run; undefined when it may. */
  reasonFor(sql: string): string | undefined
  add(sql: string, reason: string): void
}

export interface Clock {
  /** Unix time; may jump either way. */
  nowMs(): number
  /** Never jumps; counts while the machine sleeps. */
  steadyMs(): number
  /** Calls back once after that long; returns what cancels it. */
  after(delayMs: number, callback: () => void): () => void
}
