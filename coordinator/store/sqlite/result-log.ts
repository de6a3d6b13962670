// Where the result log stands, and the records it reads. Position and file agree because the file is fsynced before
// the position is committed and cut back to it at start.
import type { Columnar } from '../../../protocol/columnar.ts'
import type { DeviceId, SiteId } from '../../../protocol/ids.ts'
import type { DeviceRecord } from '../../../protocol/records.ts'
import type { Database } from '../../../lib/sqlite/open.ts'
import type { LoggableRecord, LoggedTable, ResultLogPosition } from '../store.ts'

export function resultLogTables(database: Database.Database) {
  const position = database.prepare<[], { record_id: number; path: string; inode: string; size_bytes: number }>(
    'SELECT * FROM result_log',
  )
  const savePosition = database.prepare(
    'INSERT OR REPLACE INTO result_log (id, record_id, path, inode, size_bytes) VALUES (1, @recordId, @path, @inode, @sizeBytes)',
  )
  const records = database.prepare<
    [number, number],
    {
      id: number
      site_id: SiteId
      device: DeviceId
      epoch: string | null
      seq: number | null
      observed_at_ms: number
      received_at_ms: number
      body: string
    }
  >(`
    SELECT r.id, h.site_id, h.device, r.epoch, r.seq, r.observed_at_ms, r.received_at_ms, r.body
    FROM record r JOIN host h ON h.id = r.host_id WHERE r.id > ? ORDER BY r.id LIMIT ?`)
  const getTable = database.prepare<
    [number, string],
    { epoch: string | null; seq: number | null; columns: string; rows: string; received_at_ms: number; stale: number }
  >('SELECT * FROM result_log_table WHERE host_id = ? AND name = ?')
  const putTable = database.prepare(`
    INSERT OR REPLACE INTO result_log_table (host_id, name, epoch, seq, columns, rows, received_at_ms, stale)
    VALUES (@hostId, @name, @epoch, @seq, @columns, @rows, @receivedAtMs, @stale)`)

  return {
    position(): ResultLogPosition | undefined {
      const row = position.get()
      return row && { recordId: row.record_id, path: row.path, inode: row.inode, sizeBytes: row.size_bytes }
    },
    savePosition: (to: ResultLogPosition) => savePosition.run(to),
    recordsAfter(id: number, { maxCount, maxBytes }: { maxCount: number; maxBytes: number }): LoggableRecord[] {
      const found: LoggableRecord[] = []
      let bytes = 0
      for (const row of records.iterate(id, maxCount)) {
        bytes += row.body.length
        if (found.length > 0 && bytes > maxBytes) break
        found.push({
          id: row.id,
          site: row.site_id,
          device: row.device,
          epoch: row.epoch,
          seq: row.seq,
          observedAtMs: row.observed_at_ms,
          receivedAtMs: row.received_at_ms,
          record: JSON.parse(row.body) as DeviceRecord,
        })
      }
      return found
    },
    table(hostId: number, name: string): LoggedTable | undefined {
      const row = getTable.get(hostId, name)
      return (
        row && {
          epoch: row.epoch,
          seq: row.seq,
          columns: JSON.parse(row.columns) as string[],
          rows: JSON.parse(row.rows) as Columnar,
          receivedAtMs: row.received_at_ms,
          stale: row.stale === 1,
        }
      )
    },
    saveTable: (hostId: number, name: string, table: LoggedTable) =>
      putTable.run({
        hostId,
        name,
        epoch: table.epoch,
        seq: table.seq,
        columns: JSON.stringify(table.columns),
        rows: JSON.stringify(table.rows),
        receivedAtMs: table.receivedAtMs,
        stale: table.stale ? 1 : 0,
      }),
  }
}
