// Named positions in the journal and in the centre's queue of commands. Set them in the transaction of what they stand for.
import type { Database } from '../../lib/sqlite/open.ts'

export type CursorName =
  /** Last number of the centre's commands that is stored here. */
  | 'commands'
  /** Answers up to this journal id have moved their query on. */
  | 'answersSeen'
  /** Answers, other records: up to this journal id they are in a formed segment. */
  | 'answersFormed'
  | 'historyFormed'
  /** The same for segments that have a receipt. */
  | 'answersReceipted'
  | 'historyReceipted'
  /** Tables that changed up to this journal id went up in the state lane. */
  | 'stateFormed'

export function readCursor(database: Database.Database, name: CursorName): number {
  const row = database.prepare('SELECT value FROM cursor WHERE name = ?').get(name) as { value: number } | undefined
  return row?.value ?? 0
}

export function writeCursor(database: Database.Database, name: CursorName, value: number): void {
  database
    .prepare('INSERT INTO cursor (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value')
    .run(name, value)
}
