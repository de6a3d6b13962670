// What is deleted with age: history and segments that were receipted long ago, closed queries and their answers,
// commands that are over. Never: hosts, their latest tables, the ledger, the audit log. A little at a time.
import type { Database } from '../../../lib/sqlite/open.ts'

const batch = 500
/** Newest segments of a chain that stay, whatever their age, so that a repeat is recognised. */
const keptSegments = 1000

export function retention(database: Database.Database) {
  const records = database.prepare(`
    DELETE FROM record WHERE id IN (SELECT id FROM record WHERE committed_at_ms < ? AND id <= ? ORDER BY committed_at_ms LIMIT ${batch})`)
  const segments = database.prepare(`
    DELETE FROM segment WHERE (site_id, chain, n) IN (
      SELECT s.site_id, s.chain, s.n FROM segment s JOIN chain c ON c.site_id = s.site_id AND c.chain = s.chain
      WHERE s.committed_at_ms < ? AND s.n <= c.last_n - ${keptSegments} LIMIT ${batch})`)
  const commands = database.prepare(`
    DELETE FROM command WHERE (site_id, n) IN (SELECT site_id, n FROM command WHERE not_after_ms < ? LIMIT ${batch})`)
  const oldQueries = database.prepare<[number], { id: string }>(
    'SELECT id FROM query WHERE not_after_ms < ? AND open_targets = 0 ORDER BY n LIMIT 20',
  )
  const answers = database.prepare(
    `DELETE FROM answer WHERE id IN (SELECT id FROM answer WHERE query_id = ? LIMIT ${batch})`,
  )
  const targets = database.prepare(
    `DELETE FROM query_target WHERE id IN (SELECT id FROM query_target WHERE query_id = ? LIMIT ${batch})`,
  )
  const query = database.prepare(`
    DELETE FROM query WHERE id = ? AND NOT EXISTS (SELECT 1 FROM answer WHERE query_id = query.id)
      AND NOT EXISTS (SELECT 1 FROM query_target WHERE query_id = query.id)`)

  /** Deletes one batch of each kind; returns how many rows went. Call again until it returns 0. */
  return function prune(olderThanMs: number, keepRecordsAfterId: number): number {
    let deleted = records.run(olderThanMs, keepRecordsAfterId).changes
    deleted += segments.run(olderThanMs).changes + commands.run(olderThanMs).changes
    for (const { id } of oldQueries.all(olderThanMs)) {
      deleted += answers.run(id).changes + targets.run(id).changes + query.run(id).changes
    }
    return deleted
  }
}
