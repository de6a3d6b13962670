// Which devices are connected, since when, and which have ever been.
import type { Database } from '../../lib/sqlite/open.ts'
import type { DeviceId } from '../../protocol/ids.ts'
import { addToOutbox } from './outbox.ts'

export interface PresenceChange {
  device: DeviceId
  state: 'here' | 'gone'
  atMs: number
}

export interface PresenceRow {
  device: string
  state: 'here' | 'gone'
  sinceMs: number
  firstSeenMs: number
}

/** Stores a change and tells the centre of it. Returns whether the device was unknown before. */
export function changePresence(database: Database.Database, change: PresenceChange): boolean {
  const before = database.prepare('SELECT state FROM presence WHERE device = ?').get(change.device) as
    { state: string } | undefined
  if (before?.state === change.state) return false
  database
    .prepare(
      `INSERT INTO presence (device, state, since_ms, first_seen_ms) VALUES (@device, @state, @atMs, @atMs)
       ON CONFLICT (device) DO UPDATE SET state = excluded.state, since_ms = excluded.since_ms`,
    )
    .run(change)
  addToOutbox(database, { t: 'device', ...change })
  return before === undefined
}

/** After a start nobody is connected yet, whatever the last run wrote before it ended. */
export function markAllGone(database: Database.Database, atMs: number): void {
  for (const { device } of listPresence(database).filter((row) => row.state === 'here')) {
    changePresence(database, { device: device as DeviceId, state: 'gone', atMs })
  }
}

export function listPresence(database: Database.Database): PresenceRow[] {
  return database
    .prepare('SELECT device, state, since_ms AS sinceMs, first_seen_ms AS firstSeenMs FROM presence ORDER BY device')
    .all() as PresenceRow[]
}
