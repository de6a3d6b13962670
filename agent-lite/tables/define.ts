// A table is its spec plus one synchronous reader. SQLite calls readers from inside a statement, in the engine's
// worker thread, so a reader may block but may not await.
import type { ColumnSpec, ColumnType, TableSpec } from '../../protocol/tables.ts'
import type { Device } from '../sources/device.ts'

/** A value as SQLite keeps it. */
export type SqlValue = null | number | bigint | string | Uint8Array

type ColumnValue<T extends ColumnType> = T extends 'TEXT'
  ? string | null
  : T extends 'BLOB'
    ? Uint8Array | null
    : T extends 'DOUBLE'
      ? number | null
      : number | bigint | null

type Columns = Readonly<Record<string, ColumnSpec>>

/** One row; a column left out is NULL. */
export type Row<C extends Columns> = { [K in keyof C]?: ColumnValue<C[K]['type']> | undefined }

export type ConstraintOperator = '=' | 'LIKE' | 'GLOB' | '<' | '<=' | '>' | '>='

export interface Constraint {
  operator: ConstraintOperator
  value: SqlValue
}

/** What one scan of a table is asked for. SQLite checks every constraint again, so a reader may return too much. */
export interface ReadContext<Column extends string = string> {
  device: Device
  /** What the agent knows of itself, for the osquery_* tables. */
  agent: AgentFacts
  /** False when neither the result nor a condition needs this column: skip the work behind it. */
  isUsed(column: Column): boolean
  /** Values of `=` and IN on a pushed-down column, as text; empty when the column is not so constrained. */
  equals(column: Column): string[]
  /** Patterns of LIKE on a pushed-down column. */
  likes(column: Column): string[]
  /** Every pushed-down constraint of a column. */
  constraints(column: Column): Constraint[]
  /** Something could not be read. The rows still count; the message travels beside them. */
  warn(message: string): void
  /** Throws when the query ran out of time or was cancelled; call it in loops that touch many files. */
  checkpoint(): void
}

/** What the agent's main thread tells the engine about the agent, for tables that describe it. */
export interface AgentFacts {
  version: string
  pid: number
  /** Unix seconds. */
  startTime: number
  /** Random, made once per installation. */
  instanceId: string
  /** The machine's UUID where it has one. */
  uuid: string
  configHash: string
  configValid: boolean
  flags: { name: string; type: string; description: string; default_value: string; value: string; shell_only: number }[]
  schedule: ScheduledQueryFacts[]
}

/** One row of osquery_schedule; times as osquery counts them (seconds, or milliseconds where the name says so). */
export interface ScheduledQueryFacts {
  name: string
  query: string
  interval: number
  executions: number
  last_executed: number
  denylisted: number
  output_size: number
  wall_time: number
  wall_time_ms: number
  last_wall_time_ms: number
  user_time: number
  last_user_time: number
  system_time: number
  last_system_time: number
  average_memory: number
  last_memory: number
}

export interface Table extends TableSpec {
  /** Yields a new object for each row: a join may keep them. */
  read(context: ReadContext): Iterable<Record<string, SqlValue | undefined>>
}

/**
 * Declares a table. The row type comes from `columns`: a misspelt column or a wrong type does not compile.
 * `read` may be a generator; it throws when its source cannot be read at all, and calls `warn` for parts of it.
 */
export function defineTable<const C extends Columns>(
  table: Omit<TableSpec, 'columns'> & {
    columns: C
    read(context: ReadContext<Extract<keyof C, string>>): Iterable<Row<C>>
  },
): Table {
  return table as unknown as Table
}
