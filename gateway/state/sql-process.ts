// A process of its own for ad-hoc SQL: a statement that runs too long can only be stopped by killing its process,
// since SQLite inside a thread cannot be interrupted from outside.
import { writeFileSync } from 'node:fs'
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

const [statePath = ''] = process.argv.slice(2)
const state = openReadOnly(statePath)
giveWay()

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

/** The broker comes first: for the processor, and when the machine runs out of memory. */
function giveWay(): void {
  for (const lower of [() => setPriority(10), () => writeFileSync('/proc/self/oom_score_adj', '1000')]) {
    try {
      lower()
    } catch {
      // Not Linux, or not allowed: the limits of sql-client.ts still hold.
    }
  }
}
