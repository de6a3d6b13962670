// Tokens of the people's API. Only the SHA-256 is kept: who reads the database cannot use one.
import type { Database } from '../../../lib/sqlite/open.ts'
import type { TokenRecord } from '../store.ts'

interface TokenRow {
  id: string
  name: string
  sha256: Uint8Array
  created_at_ms: number
  expires_at_ms: number | null
  revoked_at_ms: number | null
  last_used_at_ms: number | null
}

export function tokenTable(database: Database.Database) {
  const insert = database.prepare(
    'INSERT INTO token (id, name, sha256, created_at_ms, expires_at_ms) VALUES (?, ?, ?, ?, ?)',
  )
  const all = database.prepare<[], TokenRow>('SELECT * FROM token ORDER BY created_at_ms, id')
  const bySha256 = database.prepare<[Uint8Array], TokenRow>('SELECT * FROM token WHERE sha256 = ?')
  const touch = database.prepare('UPDATE token SET last_used_at_ms = ? WHERE id = ?')
  const revoke = database.prepare('UPDATE token SET revoked_at_ms = ? WHERE id = ? AND revoked_at_ms IS NULL')

  return {
    add: (token: { id: string; name: string; sha256: Uint8Array; createdAtMs: number; expiresAtMs: number | null }) =>
      insert.run(token.id, token.name, token.sha256, token.createdAtMs, token.expiresAtMs),
    list: () => all.all().map(toRecord),
    bySha256(sha256: Uint8Array) {
      const row = bySha256.get(sha256)
      return row && { ...toRecord(row), sha256: row.sha256 }
    },
    touch: (id: string, atMs: number) => touch.run(atMs, id),
    revoke: (id: string, atMs: number) => revoke.run(atMs, id).changes > 0,
  }
}

function toRecord(row: TokenRow): TokenRecord {
  return {
    id: row.id,
    name: row.name,
    createdAtMs: row.created_at_ms,
    expiresAtMs: row.expires_at_ms,
    revokedAtMs: row.revoked_at_ms,
    lastUsedAtMs: row.last_used_at_ms,
  }
}
