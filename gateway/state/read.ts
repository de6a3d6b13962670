// Reading of state.db by others: the newest tables for the state lane, and the list of what there is.
import type { Database } from '../../lib/sqlite/open.ts'
import type { TableItem } from '../../protocol/segments.ts'
import type { DeviceId, Epoch } from '../../protocol/ids.ts'
import { unpackRows } from './fold.ts'

export interface NewestTable {
  /** The journal record that brought these rows: the cursor to go on from. */
  journalId: number
  item: TableItem
}

/** Tables whose rows changed after a journal id, in the order of that change, at most `limit`. */
export function newestTables(database: Database.Database, afterJournalId: number, limit: number): NewestTable[] {
  const rows = database
    .prepare(
      `SELECT journal_id, device, name, epoch, seq, observed_at_ms, received_at_ms, columns, rows
       FROM latest JOIN seen ON seen.latest_id = latest.id WHERE journal_id > ? ORDER BY journal_id LIMIT ?`,
    )
    .all(afterJournalId, limit) as {
    journal_id: number
    device: DeviceId
    name: string
    epoch: Epoch | null
    seq: number | null
    observed_at_ms: number
    received_at_ms: number
    columns: string
    rows: Buffer
  }[]
  return rows.map((row) => ({
    journalId: row.journal_id,
    item: {
      t: 'table',
      device: row.device,
      name: row.name,
      ...(row.epoch === null || row.seq === null ? {} : { epoch: row.epoch, seq: row.seq }),
      observedAtMs: row.observed_at_ms,
      receivedAtMs: row.received_at_ms,
      columns: JSON.parse(row.columns) as string[],
      rows: unpackRows(row.rows),
    },
  }))
}

export interface TableSummary {
  device: string
  name: string
  tableName: string | null
  rowCount: number
  observedAtMs: number
  changedAtMs: number
  isStale: boolean
  storedBytes: number
}

/** Every (device, query) that the site knows. */
export function listTables(database: Database.Database): TableSummary[] {
  const rows = database
    .prepare(
      `SELECT device, name, table_name, row_count, observed_at_ms, changed_at_ms, stale, length(rows) AS bytes
       FROM latest JOIN seen ON seen.latest_id = latest.id ORDER BY name, device`,
    )
    .all() as {
    device: string
    name: string
    table_name: string | null
    row_count: number
    observed_at_ms: number
    changed_at_ms: number
    stale: number
    bytes: number
  }[]
  return rows.map((row) => ({
    device: row.device,
    name: row.name,
    tableName: row.table_name,
    rowCount: row.row_count,
    observedAtMs: row.observed_at_ms,
    changedAtMs: row.changed_at_ms,
    isStale: row.stale === 1,
    storedBytes: row.bytes,
  }))
}
