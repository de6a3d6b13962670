// Events of the site itself on their way into the next segment, as the segment lines they will be.
import type { Database } from '../../lib/sqlite/open.ts'
import type { DeviceItem, QueryItem } from '../../protocol/segments.ts'

export interface OutboxLine {
  id: number
  line: string
}

/** Adds an event. A device's comings and goings replace each other until one has left: the centre needs the newest. */
export function addToOutbox(database: Database.Database, item: QueryItem | DeviceItem): void {
  database
    .prepare('INSERT OR REPLACE INTO outbox (replaces, line) VALUES (?, ?)')
    .run(item.t === 'device' ? `device:${item.device}` : null, JSON.stringify(item))
}

/** The oldest events up to this many bytes, but at least one when there is one. */
export function readOutbox(database: Database.Database, maxBytes: number): OutboxLine[] {
  const lines: OutboxLine[] = []
  let bytes = 0
  for (const row of database.prepare('SELECT id, line FROM outbox ORDER BY id').iterate() as Iterable<OutboxLine>) {
    lines.push(row)
    bytes += row.line.length
    if (bytes >= maxBytes) break
  }
  return lines
}

/** Whether events wait, and whether one of them is about a query. */
export function outboxHas(database: Database.Database): { events: boolean; queryEvents: boolean } {
  const row = database
    .prepare(
      `SELECT EXISTS (SELECT 1 FROM outbox) AS events,
         EXISTS (SELECT 1 FROM outbox WHERE replaces IS NULL) AS queryEvents`,
    )
    .get() as { events: number; queryEvents: number }
  return { events: row.events === 1, queryEvents: row.queryEvents === 1 }
}

export function removeFromOutbox(database: Database.Database, upToId: number): void {
  database.prepare('DELETE FROM outbox WHERE id <= ?').run(upToId)
}
