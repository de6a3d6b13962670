// What people may see of commands and their life: lists with counts, one query with each device, and the answers to
// the plant's own questions.
import type { Database } from '../../lib/sqlite/open.ts'
import type { QueryState } from '../../protocol/query-states.ts'

export interface QuerySummary {
  id: string
  authority: string
  kind: string
  sql: string | null
  costClass: string | null
  by: string | null
  why: string | null
  receivedMs: number
  notBeforeMs: number
  notAfterMs: number
  consent: string
  consentReason: string | null
  consentBy: string | null
  cancelledMs: number | null
  /** Every device that it is for has reached a final state. */
  isClosed: boolean
  /** How many devices are in each state. */
  devices: Partial<Record<QueryState, number>>
}

export interface DeliverySummary {
  device: string
  state: QueryState
  reason: string | null
  arrivedMs: number
  dispatchedMs: number | null
  runningMs: number | null
  finalMs: number | null
  rows: number
  status: string | null
  message: string | null
}

export interface QueryDetail extends QuerySummary {
  targets: '*' | string[]
  deliveries: DeliverySummary[]
}

type StoredSummary = Omit<QuerySummary, 'isClosed' | 'devices'> & { dueMs: number | null; targets: string }

const summaryColumns = `id, authority, kind, sql, cost_class AS costClass, asked_by AS "by", why, received_ms AS receivedMs,
  not_before_ms AS notBeforeMs, not_after_ms AS notAfterMs, consent, consent_reason AS consentReason,
  consent_by AS consentBy, cancelled_ms AS cancelledMs, due_ms AS dueMs, targets`

/** Newest first. */
export function listQueries(database: Database.Database, { limit }: { limit: number }): QuerySummary[] {
  const rows = database
    .prepare(`SELECT ${summaryColumns} FROM command ORDER BY arrival DESC LIMIT ?`)
    .all(limit) as StoredSummary[]
  return rows.map((row) => summarize(database, row))
}

export function readQuery(database: Database.Database, id: string): QueryDetail | undefined {
  const row = database.prepare(`SELECT ${summaryColumns} FROM command WHERE id = ?`).get(id) as
    StoredSummary | undefined
  if (row === undefined) return undefined
  const deliveries = database
    .prepare(
      `SELECT device, state, reason, arrived_ms AS arrivedMs, dispatched_ms AS dispatchedMs, running_ms AS runningMs,
         final_ms AS finalMs, row_count AS rows, status, message FROM delivery WHERE command_id = ? ORDER BY device`,
    )
    .all(id) as DeliverySummary[]
  return {
    ...summarize(database, row),
    targets: row.targets === '*' ? '*' : (JSON.parse(row.targets) as string[]),
    deliveries,
  }
}

/**
 * The parts of one device's answer to one of the plant's own questions, as the JSON text of an array of answer records;
 * the centre's answers go to the centre. Text, since it may be large and is only passed on.
 */
export function readAnswer(database: Database.Database, id: string, device: string): string {
  const parts = database
    .prepare('SELECT record FROM answer WHERE command_id = ? AND device = ? ORDER BY part')
    .pluck()
    .all(id, device) as string[]
  return `[${parts.join(',')}]`
}

export function countQueries(database: Database.Database): { open: number; awaitingConsent: number } {
  return database
    .prepare(
      `SELECT count(*) AS open, count(*) FILTER (WHERE consent = 'ask') AS awaitingConsent
       FROM command WHERE due_ms IS NOT NULL AND kind = 'query'`,
    )
    .get() as { open: number; awaitingConsent: number }
}

function summarize(database: Database.Database, row: StoredSummary): QuerySummary {
  const counts = database
    .prepare('SELECT state, count(*) AS count FROM delivery WHERE command_id = ? GROUP BY state')
    .all(row.id) as { state: QueryState; count: number }[]
  const { dueMs, targets: _, ...rest } = row
  return {
    ...rest,
    isClosed: dueMs === null,
    devices: Object.fromEntries(counts.map(({ state, count }) => [state, count])),
  }
}
