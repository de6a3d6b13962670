// The site's state as SQL tables, built in a private in-memory database only for the names a statement asks for.
// Every scheduled query is a table under its own name; whole-table snapshots also appear under the table's name.
// Extra columns: device, observed_at (unix seconds), age_s. When a query has a column `device` of its own (mounts),
// that one keeps its name and ours is called site_device.
import type { Database } from '../../lib/sqlite/open.ts'
import { cellToSql } from '../../protocol/cells.ts'
import { unpackRows } from './fold.ts'

interface LatestRow {
  device: string
  columns: string
  rows: Buffer
  observed_at_ms: number
}

/** Makes table `name` in `memory` from `state`. False when the site has no such table. */
export function buildSiteTable(
  memory: Database.Database,
  state: Database.Database,
  name: string,
  nowMs: number,
): boolean {
  const builtIn = builtInTables[name.toLowerCase()]
  if (builtIn !== undefined) {
    const rows = state.prepare(builtIn.sql).raw(true).all({ nowMs }) as unknown[][]
    createTable(memory, name, builtIn.columns)
    const insert = memory.prepare(insertSql(name, builtIn.columns))
    for (const row of rows) insert.run(...row)
    return true
  }
  const sources = newestPerDevice(
    state
      .prepare(
        `SELECT device, columns, rows, observed_at_ms FROM latest JOIN seen ON seen.latest_id = latest.id
         WHERE name = @name COLLATE NOCASE OR table_name = @name COLLATE NOCASE ORDER BY device, observed_at_ms`,
      )
      .all({ name }) as LatestRow[],
  )
  if (sources.length === 0) return false
  const own = [...new Set(sources.flatMap((source) => JSON.parse(source.columns) as string[]))]
  const columns = [...extraColumns(own), ...own]
  createTable(memory, name, columns)
  const insert = memory.prepare(insertSql(name, columns))
  for (const source of sources) {
    const present = JSON.parse(source.columns) as string[]
    const index = own.map((column) => present.indexOf(column))
    const cells = unpackRows(source.rows)
    const rowCount = cells[0]?.length ?? 0
    const observedAt = BigInt(Math.floor(source.observed_at_ms / 1000))
    const ageS = BigInt(Math.max(0, Math.floor((nowMs - source.observed_at_ms) / 1000)))
    for (let row = 0; row < rowCount; row++) {
      insert.run(
        source.device,
        observedAt,
        ageS,
        ...index.map((column) => (column < 0 ? null : cellToSql(cells[column]?.[row] ?? null))),
      )
    }
  }
  return true
}

/** Names of our extra columns beside a query's own. */
export function extraColumns(own: readonly string[]): [string, string, string] {
  const taken = new Set(own.map((name) => name.toLowerCase()))
  const free = (name: string) => (taken.has(name) ? `site_${name}` : name)
  return [free('device'), free('observed_at'), free('age_s')]
}

const builtInTables: Readonly<Record<string, { columns: string[]; sql: string }>> = {
  tidegate_devices: {
    columns: ['device', 'first_seen', 'last_seen', 'age_s', 'facts'],
    sql: `SELECT device, first_received_ms / 1000, last_received_ms / 1000, max(0, (@nowMs - last_received_ms) / 1000), facts
          FROM device ORDER BY device`,
  },
  tidegate_tables: {
    columns: ['device', 'name', 'table_name', 'rows', 'observed_at', 'age_s', 'changed_at', 'stale', 'stored_bytes'],
    sql: `SELECT device, name, table_name, row_count, observed_at_ms / 1000, max(0, (@nowMs - observed_at_ms) / 1000),
            changed_at_ms / 1000, stale, length(rows)
          FROM latest JOIN seen ON seen.latest_id = latest.id ORDER BY name, device`,
  },
}

/** Two scheduled queries may both be a snapshot of one table: the newer one counts. Input is ordered by age. */
function newestPerDevice(rows: readonly LatestRow[]): LatestRow[] {
  return [...new Map(rows.map((row) => [row.device, row])).values()]
}

function createTable(memory: Database.Database, name: string, columns: readonly string[]): void {
  // SQLite compares column names without case; two that differ only so cannot live in one table.
  const seen = new Map<string, number>()
  const unique = columns.map((column) => {
    const count = (seen.get(column.toLowerCase()) ?? 0) + 1
    seen.set(column.toLowerCase(), count)
    return count === 1 ? column : `${column}:${count}`
  })
  memory.exec(`CREATE TABLE ${quote(name)} (${unique.map(quote).join(', ')})`)
}

function insertSql(name: string, columns: readonly string[]): string {
  return `INSERT INTO ${quote(name)} VALUES (${columns.map(() => '?').join(', ')})`
}

function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}
