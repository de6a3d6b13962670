// The plant's record of what was asked, allowed, sent and answered. Append only; each row's hash covers the row and the
// hash before it, and the newest hash is kept apart, so that a changed, removed or cut-off row shows.
import { createHash } from 'node:crypto'
import type { Database } from '../../lib/sqlite/open.ts'

/** Who acted: the centre through a command, a person at the plant, or the gateway by its rules. */
export type AuditActor = 'centre' | 'plant' | 'gateway'

export interface AuditEntry {
  atMs: number
  actor: AuditActor
  /** A stable word, for example `command-received`. */
  action: string
  /** The command or query it is about. */
  subject?: string
  detail?: Readonly<Record<string, unknown>>
}

export interface AuditRow extends AuditEntry {
  id: number
  detail: Record<string, unknown>
  hash: string
}

export type AuditVerdict =
  { ok: true; rows: number; head: string } | { ok: false; rows: number; brokenAt: number; problem: string }

const genesis = '0'.repeat(64)
const headKey = 'audit-head'

interface StoredRow {
  id: number
  at_ms: number
  actor: string
  action: string
  subject: string | null
  detail: string
  hash: string
}

/** Adds a row; call it inside the transaction of what it tells of. */
export function appendAudit(database: Database.Database, entry: AuditEntry): void {
  const head = readHead(database)
  const row = {
    id: head.id + 1,
    at_ms: entry.atMs,
    actor: entry.actor,
    action: entry.action,
    subject: entry.subject ?? null,
    detail: JSON.stringify(entry.detail ?? {}),
  }
  const hash = hashRow(head.hash, row)
  database
    .prepare(
      'INSERT INTO audit (id, at_ms, actor, action, subject, detail, hash) VALUES (@id, @at_ms, @actor, @action, @subject, @detail, @hash)',
    )
    .run({ ...row, hash })
  database
    .prepare('INSERT INTO setting (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value')
    .run(headKey, `${row.id}:${hash}`)
}

/** Newest first; `beforeId` pages on. */
export function listAudit(
  database: Database.Database,
  { beforeId, subject, limit }: { beforeId?: number; subject?: string; limit: number },
): AuditRow[] {
  const rows = database
    .prepare(
      'SELECT * FROM audit WHERE id < @beforeId AND (@subject IS NULL OR subject = @subject) ORDER BY id DESC LIMIT @limit',
    )
    .all({ beforeId: beforeId ?? Number.MAX_SAFE_INTEGER, subject: subject ?? null, limit }) as StoredRow[]
  return rows.map((row) => ({
    id: row.id,
    atMs: row.at_ms,
    actor: row.actor as AuditActor,
    action: row.action,
    ...(row.subject === null ? {} : { subject: row.subject }),
    detail: JSON.parse(row.detail) as Record<string, unknown>,
    hash: row.hash,
  }))
}

/** Walks the whole chain. The first row that does not fit is named. */
export function verifyAudit(database: Database.Database): AuditVerdict {
  let previous = genesis
  let id = 0
  for (const row of database.prepare('SELECT * FROM audit ORDER BY id').iterate() as Iterable<StoredRow>) {
    if (row.id !== id + 1) return { ok: false, rows: id, brokenAt: id + 1, problem: `row ${id + 1} is missing` }
    if (row.hash !== hashRow(previous, row)) {
      return { ok: false, rows: id, brokenAt: row.id, problem: `row ${row.id} or one before it was changed` }
    }
    previous = row.hash
    id = row.id
  }
  const head = readHead(database)
  if (head.id !== id || head.hash !== previous) {
    return {
      ok: false,
      rows: id,
      brokenAt: id + 1,
      problem: `the log ends at row ${id}, it was written up to ${head.id}`,
    }
  }
  return { ok: true, rows: id, head: previous }
}

function readHead(database: Database.Database): { id: number; hash: string } {
  const row = database.prepare('SELECT value FROM setting WHERE key = ?').get(headKey) as { value: string } | undefined
  const [id = '0', hash = genesis] = row?.value.split(':') ?? []
  return { id: Number(id), hash }
}

function hashRow(previous: string, row: Omit<StoredRow, 'hash'>): string {
  return createHash('sha256')
    .update(JSON.stringify([previous, row.id, row.at_ms, row.actor, row.action, row.subject, row.detail]))
    .digest('hex')
}
