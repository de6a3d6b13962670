// The audit log, appended within the transaction of the action itself.
import type { Database } from '../../../lib/sqlite/open.ts'
import { auditHash, auditStart } from '../../audit-chain.ts'
import type { AuditRecord } from '../store.ts'

export interface AuditInput {
  atMs: number
  who: string
  what: string
  detail: Record<string, unknown>
}

export function auditTable(database: Database.Database) {
  const last = database.prepare<[], { n: number; hash: string }>('SELECT n, hash FROM audit ORDER BY n DESC LIMIT 1')
  const insert = database.prepare(
    'INSERT INTO audit (n, at_ms, who, what, detail, prev, hash) VALUES (?, ?, ?, ?, ?, ?, ?)',
  )
  const after = database.prepare<
    [number, number],
    { n: number; at_ms: number; who: string; what: string; detail: string; prev: string; hash: string }
  >('SELECT * FROM audit WHERE n > ? ORDER BY n LIMIT ?')

  return {
    /** Call within a transaction begun with IMMEDIATE. */
    append({ atMs, who, what, detail }: AuditInput): void {
      const before = last.get()
      const n = (before?.n ?? 0) + 1
      const prev = before?.hash ?? auditStart
      const hash = auditHash({ n, atMs, who, what, detail, prev })
      insert.run(n, atMs, who, what, JSON.stringify(detail), prev, hash)
    },
    after: (n: number, limit: number): AuditRecord[] =>
      after.all(n, limit).map((row) => ({
        n: row.n,
        atMs: row.at_ms,
        who: row.who,
        what: row.what,
        detail: JSON.parse(row.detail) as Record<string, unknown>,
        prev: row.prev,
        hash: row.hash,
      })),
  }
}
