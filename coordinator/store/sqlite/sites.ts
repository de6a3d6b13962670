// Sites, the keys that sign their segments, and the numbered commands that wait for them.
import type { SiteId } from '../../../protocol/ids.ts'
import type { Database } from '../../../lib/sqlite/open.ts'
import type { SignedCommand, SiteContact, SiteRecord } from '../store.ts'

interface SiteRow {
  id: SiteId
  added_at_ms: number
  last_contact_at_ms: number | null
  hosts: number
  hosts_here: number
  segments: number
  last_segment_at_ms: number | null
  stale_tables: number
}

export function siteTables(database: Database.Database) {
  const all = database.prepare<[], SiteRow>(`
    SELECT id, added_at_ms, last_contact_at_ms, segments, last_segment_at_ms,
      (SELECT count(*) FROM host WHERE site_id = site.id) AS hosts,
      (SELECT count(*) FROM host WHERE site_id = site.id AND presence = 'here') AS hosts_here,
      (SELECT count(*) FROM host_table t JOIN host h ON h.id = t.host_id WHERE h.site_id = site.id AND t.stale = 1) AS stale_tables
    FROM site ORDER BY id`)
  const contacts = database.prepare<[], SiteContact>('SELECT id, last_contact_at_ms AS lastContactAtMs FROM site')
  const insertSite = database.prepare('INSERT OR IGNORE INTO site (id, added_at_ms) VALUES (?, ?)')
  const insertKey = database.prepare(
    'INSERT OR IGNORE INTO site_key (site_id, kid, public_pem, added_at_ms) VALUES (?, ?, ?, ?)',
  )
  const keys = database.prepare<[string], { public_pem: string }>(
    'SELECT public_pem FROM site_key WHERE site_id = ? ORDER BY added_at_ms',
  )
  const contact = database.prepare(
    'UPDATE site SET last_contact_at_ms = max(coalesce(last_contact_at_ms, 0), ?) WHERE id = ?',
  )
  const takeNumber = database.prepare<[string], { n: number }>(
    'UPDATE site SET next_command_n = next_command_n + 1 WHERE id = ? RETURNING next_command_n - 1 AS n',
  )
  const nextNumber = database.prepare<[string], { n: number }>('SELECT next_command_n AS n FROM site WHERE id = ?')
  const insertCommand = database.prepare(
    'INSERT INTO command (site_id, n, query_id, jws, created_at_ms, not_after_ms) VALUES (?, ?, ?, ?, ?, ?)',
  )
  const withdraw = database.prepare('DELETE FROM command WHERE site_id = ? AND query_id = ? AND fetched_at_ms IS NULL')
  const commandsAfter = database.prepare<[string, number, number], { n: number; jws: string; not_after_ms: number }>(
    'SELECT n, jws, not_after_ms FROM command WHERE site_id = ? AND n > ? ORDER BY n LIMIT ?',
  )
  const fetched = database.prepare(
    'UPDATE command SET fetched_at_ms = ? WHERE site_id = ? AND n > ? AND n <= ? AND fetched_at_ms IS NULL',
  )
  const unfetched = database.prepare<[string], { n: number }>(
    'SELECT n FROM command WHERE site_id = ? AND fetched_at_ms IS NULL ORDER BY n DESC',
  )
  const renumber = database.prepare('UPDATE command SET n = n + ? WHERE site_id = ? AND n = ?')
  const skipNumbers = database.prepare('UPDATE site SET next_command_n = next_command_n + ? WHERE id = ?')

  return {
    list: (): SiteRecord[] =>
      all.all().map((row) => ({
        id: row.id,
        addedAtMs: row.added_at_ms,
        lastContactAtMs: row.last_contact_at_ms,
        hosts: row.hosts,
        hostsHere: row.hosts_here,
        segments: row.segments,
        lastSegmentAtMs: row.last_segment_at_ms,
        staleTables: row.stale_tables,
      })),
    contacts: () => contacts.all(),
    add(site: string, kid: string, publicPem: string, atMs: number): 'added' | 'key-added' | 'unchanged' {
      const isNew = insertSite.run(site, atMs).changes > 0
      const isNewKey = insertKey.run(site, kid, publicPem, atMs).changes > 0
      return isNew ? 'added' : isNewKey ? 'key-added' : 'unchanged'
    },
    keys(site: string): string[] | undefined {
      const rows = keys.all(site)
      return rows.length === 0 ? undefined : rows.map((row) => row.public_pem)
    },
    saveContact: (site: string, atMs: number) => contact.run(atMs, site),
    queueCommand({ site, jws, notAfterMs }: SignedCommand, atMs: number, queryId: string | null): void {
      const row = takeNumber.get(site)
      if (row === undefined) throw new Error(`site ${site} is not registered`)
      insertCommand.run(site, row.n, queryId, jws, atMs, notAfterMs)
    },
    /** Takes a query's command back; false when the site has fetched it. */
    withdrawCommand: (site: string, queryId: string) => withdraw.run(site, queryId).changes > 0,
    /**
     * A gateway that has seen a higher number than was ever given out shows that this store was restored from a
     * backup: what it has not fetched is numbered anew, past what the gateway has seen.
     */
    renumberPast(site: string, seen: number): boolean {
      const next = nextNumber.get(site)?.n
      if (next === undefined || seen < next) return false
      const waiting = unfetched.all(site)
      const by = seen + 1 - (waiting.at(-1)?.n ?? next)
      for (const { n } of waiting) renumber.run(by, site, n)
      skipNumbers.run(by, site)
      return true
    },
    commandsAfter(site: string, after: number, limit: { nowMs: number; maxCount: number; maxBytes: number }) {
      const commands: { n: number; jws: string }[] = []
      let upTo = after
      let bytes = 0
      for (const row of commandsAfter.all(site, after, limit.maxCount)) {
        if (row.not_after_ms >= limit.nowMs) {
          bytes += row.jws.length
          if (commands.length > 0 && bytes > limit.maxBytes) break
          commands.push({ n: row.n, jws: row.jws })
        }
        upTo = row.n
      }
      if (commands.length > 0) fetched.run(limit.nowMs, site, after, upTo)
      return { commands, upTo }
    },
  }
}
