// The latest rows of each (host, query): folded from history, and those that came ahead of it in the state lane. Read
// from whichever is newer; what came ahead is dropped when history catches up.
import type { Columnar } from '../../../protocol/columnar.ts'
import type { DeltaRecord, SnapshotRecord } from '../../../protocol/records.ts'
import type { TableItem } from '../../../protocol/segments.ts'
import type { DeviceId, SiteId } from '../../../protocol/ids.ts'
import type { Database } from '../../../lib/sqlite/open.ts'
import { foldRecord, isAtOrAfter, type Folded, type Position } from '../fold.ts'
import type { HostKey, LatestTable, TableSummary } from '../store.ts'

interface StoredTable {
  name: string
  table_name: string | null
  epoch: string | null
  seq: number | null
  columns: string
  rows: string
  row_count: number
  observed_at_ms: number
  received_at_ms: number
  stale: number
}

interface LatestRow extends StoredTable {
  site_id: SiteId
  device: DeviceId
  origin: 'history' | 'state'
}

interface Held {
  hostId: number
  name: string
  tableName: string | null
  folded: Folded
  observedAtMs: number
  /** The row is there; only its position moved. */
  isStored: boolean
  rowsChanged: boolean
}

/** Both kinds of rows, newest first: what came ahead exists only while it is newer than history. */
const newest = `
  SELECT host_id, name, table_name, epoch, seq, columns, rows, row_count, observed_at_ms, received_at_ms, 0 AS stale, 'state' AS origin
  FROM host_table_ahead
  UNION ALL
  SELECT host_id, name, table_name, epoch, seq, columns, rows, row_count, observed_at_ms, received_at_ms, stale, 'history'
  FROM host_table t
  WHERE NOT EXISTS (SELECT 1 FROM host_table_ahead a WHERE a.host_id = t.host_id AND a.name = t.name)`

export function latestTables(database: Database.Database) {
  const get = database.prepare<[number, string], StoredTable>('SELECT * FROM host_table WHERE host_id = ? AND name = ?')
  const put = database.prepare(`
    INSERT INTO host_table (host_id, name, table_name, epoch, seq, columns, rows, row_count, observed_at_ms, received_at_ms, stale)
    VALUES (@hostId, @name, @tableName, @epoch, @seq, @columns, @rows, @rowCount, @observedAtMs, @receivedAtMs, @stale)
    ON CONFLICT (host_id, name) DO UPDATE SET table_name = excluded.table_name, epoch = excluded.epoch,
      seq = excluded.seq, columns = excluded.columns, rows = excluded.rows, row_count = excluded.row_count,
      observed_at_ms = excluded.observed_at_ms, received_at_ms = excluded.received_at_ms, stale = excluded.stale`)
  const move = database.prepare(`
    UPDATE host_table SET epoch = @epoch, seq = @seq, observed_at_ms = @observedAtMs, received_at_ms = @receivedAtMs, stale = @stale
    WHERE host_id = @hostId AND name = @name`)
  const getAhead = database.prepare<[number, string], Omit<StoredTable, 'stale'>>(
    'SELECT * FROM host_table_ahead WHERE host_id = ? AND name = ?',
  )
  const putAhead = database.prepare(`
    INSERT OR REPLACE INTO host_table_ahead
      (host_id, name, table_name, epoch, seq, columns, rows, row_count, observed_at_ms, received_at_ms)
    VALUES (@hostId, @name, @tableName, @epoch, @seq, @columns, @rows, @rowCount, @observedAtMs, @receivedAtMs)`)
  const dropAhead = database.prepare('DELETE FROM host_table_ahead WHERE host_id = ? AND name = ?')
  const summaries = database.prepare<[number], Omit<LatestRow, 'columns' | 'rows'>>(
    `SELECT name, table_name, row_count, observed_at_ms, stale FROM (${newest}) WHERE host_id = ? ORDER BY name`,
  )
  const oneByName = database.prepare<{ hostId: number; name: string }, LatestRow>(`
    SELECT n.*, h.site_id, h.device FROM (${newest}) n JOIN host h ON h.id = n.host_id
    WHERE n.host_id = @hostId AND (n.name = @name OR n.table_name = @name)
    ORDER BY n.name = @name DESC, n.observed_at_ms DESC LIMIT 1`)
  // SQLite takes the other columns of a group from the row that has the max(): one row per host, by its own name first.
  const page = database.prepare<Record<string, string | number | null>, LatestRow>(`
    SELECT n.*, h.site_id, h.device, max((n.name = @name) * 1000000000000000 + n.observed_at_ms) FROM (${newest}) n JOIN host h ON h.id = n.host_id
    WHERE (n.name = @name OR n.table_name = @name)
      AND (h.site_id, h.device) > (@afterSite, @afterDevice)
      AND (@site IS NULL OR h.site_id = @site)
      AND (@label IS NULL OR EXISTS (SELECT 1 FROM host_label l WHERE l.host_id = h.id AND l.label = @label))
    GROUP BY h.site_id, h.device ORDER BY h.site_id, h.device LIMIT @limit`)

  return {
    /** A fold over the records of one segment; `save` writes what changed. */
    beginFold() {
      const held = new Map<string, Held>()
      return {
        /** False when a delta did not fit: the table is stale until the next snapshot. */
        apply(hostId: number, record: SnapshotRecord | DeltaRecord, at: Position, observedAtMs: number): boolean {
          const key = `${hostId}\n${record.name}`
          const before = held.get(key) ?? load(hostId, record.name)
          const { folded, outcome } = foldRecord(before?.folded, record, at)
          if (folded === undefined) return outcome !== 'unfit'
          const moved = outcome === 'changed' || outcome === 'unchanged'
          held.set(key, {
            hostId,
            name: record.name,
            tableName: record.kind === 'snapshot' ? (record.table ?? null) : (before?.tableName ?? null),
            folded,
            observedAtMs: moved ? observedAtMs : (before?.observedAtMs ?? observedAtMs),
            isStored: before?.isStored ?? false,
            rowsChanged: (before?.rowsChanged ?? false) || outcome === 'changed',
          })
          return outcome !== 'unfit'
        },
        save(): void {
          for (const table of held.values()) {
            const { hostId, name, tableName, folded, observedAtMs } = table
            const { epoch, seq, receivedAtMs } = folded
            const position = { hostId, name, epoch, seq, observedAtMs, receivedAtMs, stale: folded.stale ? 1 : 0 }
            if (table.rowsChanged) put.run({ ...position, tableName, ...packed(folded.columns, folded.rows()) })
            else if (table.isStored) move.run(position)
            const ahead = getAhead.get(hostId, name)
            if (ahead && !folded.stale && isAtOrAfter(folded, positionOf(ahead))) dropAhead.run(hostId, name)
          }
        },
      }
    },
    /** Keeps rows from the state lane while they are newer than history's and than what came ahead before. */
    putAhead(hostId: number, item: TableItem): void {
      const at: Position = { epoch: item.epoch ?? null, seq: item.seq ?? null, receivedAtMs: item.receivedAtMs }
      const history = get.get(hostId, item.name)
      if (history && history.stale === 0 && isAtOrAfter(positionOf(history), at)) return
      const ahead = getAhead.get(hostId, item.name)
      if (ahead && !isAtOrAfter(at, positionOf(ahead))) return
      const table = item['table']
      putAhead.run({
        ...at,
        hostId,
        name: item.name,
        tableName: typeof table === 'string' ? table : (history?.table_name ?? ahead?.table_name ?? null),
        observedAtMs: item.observedAtMs,
        ...packed(item.columns, item.rows),
      })
    },
    summaries: (hostId: number): TableSummary[] =>
      summaries.all(hostId).map((row) => ({
        name: row.name,
        table: row.table_name,
        rows: row.row_count,
        observedAtMs: row.observed_at_ms,
        stale: row.stale === 1,
      })),
    one(hostId: number, name: string): LatestTable | undefined {
      const row = oneByName.get({ hostId, name })
      return row && toLatest(row)
    },
    page: (filter: {
      name: string
      site?: string | undefined
      label?: string | undefined
      after?: HostKey | undefined
      limit: number
    }): LatestTable[] =>
      page
        .all({
          name: filter.name,
          site: filter.site ?? null,
          label: filter.label ?? null,
          afterSite: filter.after?.site ?? '',
          afterDevice: filter.after?.device ?? '',
          limit: filter.limit,
        })
        .map(toLatest),
  }

  function load(hostId: number, name: string): Held | undefined {
    const row = get.get(hostId, name)
    return (
      row && {
        hostId,
        name,
        tableName: row.table_name,
        folded: {
          ...positionOf(row),
          columns: JSON.parse(row.columns) as string[],
          rows: () => JSON.parse(row.rows) as Columnar,
          stale: row.stale === 1,
        },
        observedAtMs: row.observed_at_ms,
        isStored: true,
        rowsChanged: false,
      }
    )
  }
}

function positionOf(row: { epoch: string | null; seq: number | null; received_at_ms: number }): Position {
  return { epoch: row.epoch, seq: row.seq, receivedAtMs: row.received_at_ms }
}

function packed(columns: readonly string[], rows: Columnar) {
  return { columns: JSON.stringify(columns), rows: JSON.stringify(rows), rowCount: rows[0]?.length ?? 0 }
}

function toLatest(row: LatestRow): LatestTable {
  return {
    site: row.site_id,
    device: row.device,
    name: row.name,
    table: row.table_name,
    columns: JSON.parse(row.columns) as string[],
    rows: JSON.parse(row.rows) as Columnar,
    observedAtMs: row.observed_at_ms,
    receivedAtMs: row.received_at_ms,
    stale: row.stale === 1,
    from: row.origin,
  }
}
