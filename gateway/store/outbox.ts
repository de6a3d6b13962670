// Events of the site itself on their way into the next segment, as the segment lines they will be.
import type { Database } from '../../lib/sqlite/open.ts'
import type { DeviceItem, QueryItem } from '../../protocol/segments.ts'

export interface OutboxLine {
  id: number
  line: string
}

/**
 * Adds an event. A device's comings and goings replace each other until one has left: the centre needs the newest. An
 * event with `afterAnswer` does not leave before the answer record of that journal id.
 */
export function addToOutbox(database: Database.Database, item: QueryItem | DeviceItem, afterAnswer = 0): void {
  database
    .prepare('INSERT OR REPLACE INTO outbox (replaces, after_answer, line) VALUES (?, ?, ?)')
    .run(item.t === 'device' ? `device:${item.device}` : null, afterAnswer, JSON.stringify(item))
}

/** The oldest events that may leave once answers up to this id have, up to so many bytes, but at least one. */
export function readOutbox(database: Database.Database, answersUpTo: number, maxBytes: number): OutboxLine[] {
  const lines: OutboxLine[] = []
  let bytes = 0
  const rows = database.prepare('SELECT id, line FROM outbox WHERE after_answer <= ? ORDER BY id').iterate(answersUpTo)
  for (const row of rows as Iterable<OutboxLine>) {
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

/** Removes what readOutbox gave, up to the id of its last line. */
export function removeFromOutbox(database: Database.Database, answersUpTo: number, upToId: number): void {
  database.prepare('DELETE FROM outbox WHERE after_answer <= ? AND id <= ?').run(answersUpTo, upToId)
}
