// Folds journal records, in journal order, into the latest rows of every (device, query).
// Invariants: one transaction moves the cursor and everything folded up to it; a table that did not change costs a
// narrow row, not its rows; a delta whose base is not what is held never guesses, it marks the table stale.
import { createHash } from 'node:crypto'
import { toColumnar, toRows, type Columnar, type RowCells } from '../../protocol/columnar.ts'
import { compress, decompress } from '../../protocol/compression.ts'
import { applyDelta } from '../../protocol/delta.ts'
import { limits } from '../../protocol/limits.ts'
import type { DeltaRecord, SnapshotRecord, StatusRecord } from '../../protocol/records.ts'
import type { Database } from '../../lib/sqlite/open.ts'

/** A record as the journal keeps it. */
export interface FoldInput {
  id: number
  device: string
  epoch: string | null
  seq: number | null
  kind: string
  observedAtMs: number
  receivedAtMs: number
  /** The record as JSON. */
  body: string
}

interface HeldTable {
  id: number | undefined
  tableName: string | null
  columns: string[]
  /** Rows as they were stored, or as they are now when `rows` was replaced. */
  rows: RowCells[] | undefined
  packed: Buffer | undefined
  sha256: Buffer
  journalId: number
  changedAtMs: number
  epoch: string | null
  seq: number | null
  observedAtMs: number
  receivedAtMs: number
  stale: boolean
  rowsChanged: boolean
}

export class Fold {
  readonly #database: Database.Database
  readonly #statements: Statements
  #journalId: number

  constructor(database: Database.Database) {
    this.#database = database
    this.#statements = prepare(database)
    this.#journalId = (database.prepare('SELECT journal_id FROM fold').get() as { journal_id: number }).journal_id
  }

  /** Everything up to this journal id is folded and on disk. */
  get journalId(): number {
    return this.#journalId
  }

  /** Folds a batch in one transaction; records at or before the cursor are skipped. Returns the new cursor. */
  apply(batch: readonly FoldInput[]): number {
    const fresh = batch.filter((input) => input.id > this.#journalId)
    const last = fresh.at(-1)
    if (last === undefined) return this.#journalId
    const held = new Map<string, HeldTable>()
    let staleDeltas = 0
    this.#database.transaction(() => {
      for (const input of fresh) {
        this.#statements.touchDevice.run({ device: input.device, receivedMs: input.receivedAtMs })
        if (input.kind === 'snapshot') this.#snapshot(held, input)
        else if (input.kind === 'delta') staleDeltas += this.#delta(held, input) ? 0 : 1
        else if (input.kind === 'status') this.#status(input)
      }
      for (const [key, table] of held) this.#store(key, table)
      this.#statements.moveCursor.run({ journalId: last.id, staleDeltas })
    })()
    this.#journalId = last.id
    return last.id
  }

  #snapshot(held: Map<string, HeldTable>, input: FoldInput): void {
    const record = JSON.parse(input.body) as SnapshotRecord
    const before = this.#load(held, input.device, record.name)
    if (before && isOlder(input, before)) return
    const sha256 = digest(record.columns, record.rows)
    const same = before !== undefined && before.sha256.equals(sha256)
    const tableName = record.table ?? null
    held.set(key(input.device, record.name), {
      id: before?.id,
      tableName,
      columns: record.columns,
      rows: same ? before.rows : toRows(record.rows),
      packed: same ? before.packed : undefined,
      sha256,
      journalId: same ? before.journalId : input.id,
      changedAtMs: same ? before.changedAtMs : input.observedAtMs,
      ...seenBy(input),
      stale: false,
      rowsChanged: !same || before.rowsChanged || before.tableName !== tableName,
    })
  }

  /** False when the delta does not fit what is held. */
  #delta(held: Map<string, HeldTable>, input: FoldInput): boolean {
    const record = JSON.parse(input.body) as DeltaRecord
    const before = this.#load(held, input.device, record.name)
    if (before === undefined) return false
    if (isOlder(input, before)) return true
    const fits = !before.stale && before.epoch === input.epoch && before.seq === record.base
    const unchanged = isEmpty(record.added) && isEmpty(record.removed)
    if (fits && unchanged) {
      Object.assign(before, seenBy(input))
      return true
    }
    const rows =
      fits && sameColumns(before.columns, record.columns)
        ? applyDelta(this.#rows(before), { added: toRows(record.added), removed: toRows(record.removed) })
        : undefined
    if (rows === undefined) {
      before.stale = true
      return false
    }
    Object.assign(before, {
      rows,
      packed: undefined,
      sha256: digest(before.columns, toColumnar(before.columns.length, rows)),
      journalId: input.id,
      changedAtMs: input.observedAtMs,
      ...seenBy(input),
      rowsChanged: true,
    })
    return true
  }

  #status(input: FoldInput): void {
    const record = JSON.parse(input.body) as StatusRecord
    if (record.facts) this.#statements.setFacts.run({ device: input.device, facts: JSON.stringify(record.facts) })
  }

  #load(held: Map<string, HeldTable>, device: string, name: string): HeldTable | undefined {
    const known = held.get(key(device, name))
    if (known) return known
    const row = this.#statements.get.get(device, name) as StoredTable | undefined
    if (row === undefined) return undefined
    const table: HeldTable = {
      id: row.id,
      tableName: row.table_name,
      columns: JSON.parse(row.columns) as string[],
      rows: undefined,
      packed: row.rows,
      sha256: row.sha256,
      journalId: row.journal_id,
      changedAtMs: row.changed_at_ms,
      epoch: row.epoch,
      seq: row.seq,
      observedAtMs: row.observed_at_ms,
      receivedAtMs: row.received_at_ms,
      stale: row.stale === 1,
      rowsChanged: false,
    }
    held.set(key(device, name), table)
    return table
  }

  #rows(table: HeldTable): RowCells[] {
    table.rows ??= table.packed === undefined ? [] : toRows(unpackRows(table.packed))
    return table.rows
  }

  #store(tableKey: string, table: HeldTable): void {
    const [device = '', name = ''] = tableKey.split('\n')
    if (table.rowsChanged) {
      const rows = this.#rows(table)
      const { id } = this.#statements.put.get({
        device,
        name,
        tableName: table.tableName,
        columns: JSON.stringify(table.columns),
        rows: table.packed ?? packRows(toColumnar(table.columns.length, rows)),
        rowCount: rows.length,
        sha256: table.sha256,
        journalId: table.journalId,
        changedAtMs: table.changedAtMs,
      }) as { id: number }
      table.id = id
    }
    this.#statements.putSeen.run({
      id: table.id,
      epoch: table.epoch,
      seq: table.seq,
      observedAtMs: table.observedAtMs,
      receivedAtMs: table.receivedAtMs,
      stale: table.stale ? 1 : 0,
    })
  }
}

/** Columnar cells as stored in `latest.rows`. */
export function packRows(rows: Columnar): Buffer {
  return compress('br', Buffer.from(JSON.stringify(rows)))
}

export function unpackRows(packed: Uint8Array): Columnar {
  // Our own data, checked when it came in: the bound only stops a damaged file from taking all memory.
  return JSON.parse(decompress('br', packed, limits.segmentBodyBytes).toString('utf8')) as Columnar
}

interface StoredTable {
  id: number
  table_name: string | null
  columns: string
  rows: Buffer
  sha256: Buffer
  journal_id: number
  changed_at_ms: number
  epoch: string | null
  seq: number | null
  observed_at_ms: number
  received_at_ms: number
  stale: number
}

type Statements = ReturnType<typeof prepare>

function prepare(database: Database.Database) {
  return {
    get: database.prepare(`
      SELECT latest.id, table_name, columns, rows, sha256, journal_id, changed_at_ms,
        epoch, seq, observed_at_ms, received_at_ms, stale
      FROM latest JOIN seen ON seen.latest_id = latest.id WHERE device = ? AND name = ?`),
    put: database.prepare(`
      INSERT INTO latest (device, name, table_name, columns, rows, row_count, sha256, journal_id, changed_at_ms)
      VALUES (@device, @name, @tableName, @columns, @rows, @rowCount, @sha256, @journalId, @changedAtMs)
      ON CONFLICT (device, name) DO UPDATE SET table_name = excluded.table_name, columns = excluded.columns,
        rows = excluded.rows, row_count = excluded.row_count, sha256 = excluded.sha256,
        journal_id = excluded.journal_id, changed_at_ms = excluded.changed_at_ms
      RETURNING id`),
    putSeen: database.prepare(`
      INSERT INTO seen (latest_id, epoch, seq, observed_at_ms, received_at_ms, stale)
      VALUES (@id, @epoch, @seq, @observedAtMs, @receivedAtMs, @stale)
      ON CONFLICT (latest_id) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq,
        observed_at_ms = excluded.observed_at_ms, received_at_ms = excluded.received_at_ms, stale = excluded.stale`),
    touchDevice: database.prepare(`
      INSERT INTO device (device, first_received_ms, last_received_ms) VALUES (@device, @receivedMs, @receivedMs)
      ON CONFLICT (device) DO UPDATE SET last_received_ms = max(last_received_ms, excluded.last_received_ms)`),
    setFacts: database.prepare('UPDATE device SET facts = json_patch(facts, @facts) WHERE device = @device'),
    moveCursor: database.prepare(
      'UPDATE fold SET journal_id = @journalId, stale_deltas = stale_deltas + @staleDeltas WHERE id = 1',
    ),
  }
}

function key(device: string, name: string): string {
  return `${device}\n${name}`
}

function digest(columns: readonly string[], rows: Columnar): Buffer {
  return createHash('sha256')
    .update(JSON.stringify([columns, rows]))
    .digest()
}

/** Records of one epoch may be folded again (a resent batch, an answer's neighbour): only a higher seq counts. */
function isOlder(input: FoldInput, held: HeldTable): boolean {
  return input.epoch !== null && input.epoch === held.epoch && (input.seq ?? 0) <= (held.seq ?? 0)
}

function seenBy(input: FoldInput) {
  return { epoch: input.epoch, seq: input.seq, observedAtMs: input.observedAtMs, receivedAtMs: input.receivedAtMs }
}

function isEmpty(rows: Columnar): boolean {
  return (rows[0]?.length ?? 0) === 0
}

function sameColumns(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((name, index) => name === right[index])
}
