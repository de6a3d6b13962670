// Events of the site itself on their way into the next answers segment, as the segment lines they will be.
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

export function readOutbox(database: Database.Database, limit: number): OutboxLine[] {
  return database.prepare('SELECT id, line FROM outbox ORDER BY id LIMIT ?').all(limit) as OutboxLine[]
}

export function removeFromOutbox(database: Database.Database, upToId: number): void {
  database.prepare('DELETE FROM outbox WHERE id <= ?').run(upToId)
}
