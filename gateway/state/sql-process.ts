// A process of its own for ad-hoc SQL: a statement that runs too long can only be stopped by killing its process,
// since SQLite inside a thread cannot be interrupted from outside.
import { setPriority } from 'node:os'
import { openReadOnly } from '../../lib/sqlite/open.ts'
import { AppError } from '../../lib/errors.ts'
import { runSiteSql, type SqlLimits } from './ad-hoc-sql.ts'

export interface SqlRequest {
  sql: string
  limits: SqlLimits
  nowMs: number
}

export type SqlReply =
  | { ok: true; columns: string[]; rows: unknown[][]; truncated?: 'rows' | 'bytes' }
  | { ok: false; code: string; message: string; hint?: string }

const [statePath = '', memoryBytes = '0'] = process.argv.slice(2)
const state = openReadOnly(statePath)
// Process-wide in SQLite: holds for the in-memory database of every query.
state.pragma(`hard_heap_limit = ${Number(memoryBytes)}`)
try {
  setPriority(10)
} catch {
  // Not allowed to lower the priority: the limits still hold.
}

process.on('message', ({ sql, limits, nowMs }: SqlRequest) => {
  let reply: SqlReply
  try {
    reply = { ok: true, ...runSiteSql(state, sql, limits, nowMs) }
  } catch (error) {
    const { code, message, hint } = error instanceof AppError ? error : new AppError('QUERY_FAILED', String(error))
    reply = { ok: false, code, message, ...(hint === undefined ? {} : { hint }) }
  }
  process.send?.(reply)
})
process.on('disconnect', () => process.exit(0))
process.send?.('ready')
