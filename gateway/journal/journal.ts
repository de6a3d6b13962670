// The journal's core: what devices sent, on this disk, once each. Synchronous; lives in the journal worker.
// Invariants: commit() returns only after the batch is fsynced (WAL, synchronous=FULL) or throws with nothing of it
// kept, in memory either; a (device, epoch, seq) has at most one row for ever; a publish that cannot be read disturbs
// no other; ids only grow.
import { createHash } from 'node:crypto'
import { statSync } from 'node:fs'
import { AppError } from '../../lib/errors.ts'
import { migrationsFolder } from '../../lib/program-file.ts'
import { openDatabase, storageError, type Database } from '../../lib/sqlite/open.ts'
import type { Epoch } from '../../protocol/ids.ts'
import { observedAtMs } from '../../protocol/observed.ts'
import { decodeEnvelope, isKnownRecord, type DeviceRecord, type Envelope } from '../../protocol/records.ts'
import { Refusal } from '../../protocol/refusal.ts'
import type { Committed, Outcome, Publish } from './batch.ts'
import { Devices, type Device } from './devices.ts'
import { EpochCache, maxEpochsPerDevice, maxRangesPerEpoch, type EpochEntry } from './epochs.ts'
import { readLedger, type DeviceLedger } from './ledger.ts'
import { Reserve } from './reserve.ts'

export interface JournalOptions {
  path: string
  /** The database file grows no further than this; then publishes are refused as on a full disk. */
  maxBytes?: number
  /** Space kept back so that a full disk can still be emptied: more than the WAL ever has; 16 MiB when left out. */
  reserveBytes?: number
  now?: () => number
}

export interface TrimRequest {
  /** Records that are no answers, up to this id, may go. */
  historyUpTo: number
  /** Answers up to this id may go. */
  answersUpTo: number
}

export interface JournalStats {
  /** Newest id ever given; 0 for an empty journal. */
  lastId: number
  /** Oldest record that is still here; undefined when there is none. */
  firstId: number | undefined
  /** Database and WAL on disk. */
  fileBytes: number
  /** Of the database file, what is in use; the rest is used again before the file grows. */
  usedBytes: number
  devices: number
  epochs: number
}

/** What one trim step deletes at most: a few milliseconds, between two batches. */
const trimRows = 500
const trimBytes = 4 * 1_048_576
/** A transaction ends with the publish that reaches this: Brotli lets a small batch hold gigabytes. */
const transactionBytes = 8 * 1_048_576
/** A device may hold this many times what is still free of maxBytes: alone up to three quarters, and nobody the last bit. */
const shareOfFree = 3
/** How much of a refused publish is kept. */
const refusedHeadBytes = 256

export class Journal {
  readonly #path: string
  readonly #now: () => number
  readonly #database
  readonly #reserve: Reserve
  readonly #epochs: EpochCache
  readonly #devices: Devices
  readonly #maxBytes: number
  readonly #insert
  readonly #trim
  #lastId: number

  /** Opens or makes the journal. Throws AppError, exit `storage`. */
  constructor({ path, maxBytes = Infinity, reserveBytes = 16 * 1_048_576, now = Date.now }: JournalOptions) {
    this.#path = path
    this.#now = now
    this.#reserve = new Reserve(`${path}-reserve`, reserveBytes)
    const database = this.#withReserve(() =>
      openDatabase(path, { migrations: migrationsFolder('gateway', 'journal'), pageCacheKib: 16_384 }),
    )
    this.#reserve.take()
    this.#database = database
    this.#maxBytes = maxBytes
    if (maxBytes < Infinity) {
      database.pragma(`max_page_count = ${Math.max(16, Math.floor(maxBytes / this.#pragma('page_size')))}`)
    }
    this.#epochs = new EpochCache(database)
    this.#devices = new Devices(database)
    this.#insert = database.prepare<
      [
        number,
        number | null,
        number | null,
        string,
        string | null,
        number,
        number | null,
        number,
        string | null,
        string,
      ]
    >(
      `INSERT INTO record (device_id, epoch_id, seq, kind, name, is_answer, observed_ms, received_ms, clock, body)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    )
    this.#trim = { history: prepareTrim(database, 0), answers: prepareTrim(database, 1) }
    this.#lastId =
      database.prepare<[], number>(`SELECT seq FROM sqlite_sequence WHERE name = 'record'`).pluck().get() ?? 0
  }

  /**
   * Stores what is new in the publishes, in their order, and returns when it is fsynced: one outcome for each of the
   * first ones. When they are large the rest is left for another call; at least one is taken.
   * Throws AppError STORE_UNUSABLE (disk full, I/O error); then nothing is kept.
   */
  commit(batch: readonly Publish[]): { outcomes: Outcome[]; committed: Committed } {
    const outcomes: Outcome[] = []
    const transaction: Transaction = {
      nowMs: this.#now(),
      freeBytes: 0,
      lastId: this.#lastId,
      stored: 0,
      answers: 0,
      bytes: 0,
    }
    try {
      this.#database
        .transaction(() => {
          transaction.freeBytes = this.#maxBytes - this.#usedBytes()
          for (const publish of batch) {
            outcomes.push(this.#store(publish, transaction))
            if (transaction.bytes >= transactionBytes) break
          }
          this.#epochs.write(transaction.nowMs)
          this.#devices.write()
        })
        .immediate()
    } catch (error) {
      this.#epochs.rolledBack()
      this.#devices.rolledBack()
      throw storageError(this.#path, error)
    }
    this.#epochs.committed()
    this.#devices.committed()
    const { lastId, stored, answers } = transaction
    this.#lastId = lastId
    return { outcomes, committed: { lastId, stored, answers } }
  }

  /** Deletes some of what may go, in one small transaction; 0 when nothing is left to delete. Throws AppError. */
  trimStep({ historyUpTo, answersUpTo }: TrimRequest): number {
    const deleted = this.#withReserve(
      () => this.#trimSome(this.#trim.answers, answersUpTo) || this.#trimSome(this.#trim.history, historyUpTo),
    )
    if (deleted === 0) this.#reserve.take()
    return deleted
  }

  /** Does what needs a little space; gives the reserve back and tries again when there was none. Throws AppError. */
  #withReserve<T>(work: () => T): T {
    try {
      return work()
    } catch (error) {
      if (!mayBeSpace(error) || !this.#reserve.release()) throw storageError(this.#path, error)
    }
    try {
      return work()
    } catch (error) {
      throw storageError(this.#path, error)
    }
  }

  #trimSome({ next, remove }: ReturnType<typeof prepareTrim>, upTo: number): number {
    let lastId: number | undefined
    let bytes = 0
    for (const row of next.iterate(upTo, trimRows)) {
      lastId = row.id
      bytes += row.bytes
      this.#devices.release(row.deviceId, row.bytes)
      if (bytes >= trimBytes) break
    }
    if (lastId === undefined) return 0
    const cut = lastId
    try {
      const deleted = this.#database
        .transaction(() => {
          this.#devices.write()
          return remove.run(cut).changes
        })
        .immediate()
      this.#devices.committed()
      return deleted
    } catch (error) {
      this.#devices.rolledBack()
      throw error
    }
  }

  ledger(device?: string): DeviceLedger[] {
    return readLedger(this.#database, device)
  }

  stats(): JournalStats {
    const one = <T>(sql: string) => this.#database.prepare<[], T>(sql).pluck().get()
    return {
      lastId: this.#lastId,
      firstId: one<number | null>('SELECT min(id) FROM record') ?? undefined,
      fileBytes: fileBytes(this.#path) + fileBytes(`${this.#path}-wal`),
      usedBytes: this.#usedBytes(),
      devices: this.#devices.count,
      epochs: one<number>('SELECT count(*) FROM epoch') ?? 0,
    }
  }

  close(): void {
    this.#database.close()
  }

  #usedBytes(): number {
    return (this.#pragma('page_count') - this.#pragma('freelist_count')) * this.#pragma('page_size')
  }

  #pragma(name: string): number {
    return Number(this.#database.pragma(name, { simple: true }))
  }

  #store(publish: Publish, transaction: Transaction): Outcome {
    const device = this.#devices.get(publish.device)
    if (device.bytes > shareOfFree * (transaction.freeBytes - transaction.bytes)) {
      const message = `${publish.device} holds ${device.bytes} bytes of a journal that is getting full`
      return { state: 'over-share', message }
    }
    let envelope: Envelope
    let entry: EpochEntry | undefined
    try {
      envelope = decodeEnvelope(publish.payload, publish.encoding, publish.device)
      const { epoch } = envelope
      if (epoch !== undefined) entry = this.#epochFor(device, epoch, envelope.records, transaction.nowMs)
    } catch (error) {
      if (error instanceof Refusal) return this.#refuse(publish, device, error, transaction)
      if (isStorageError(error)) throw error
      // A bug in a decoder must cost one publish, not every batch that holds it.
      const bug = new Refusal('bad-shape', `the decoder failed: ${(error as Error).message.slice(0, 120)}`, error)
      return this.#refuse(publish, device, bug, transaction)
    }
    const { clock, sentMs } = envelope
    const before = { stored: transaction.stored, bytes: transaction.bytes }
    for (const record of envelope.records) {
      const { seq } = record
      if (entry === undefined || seq === undefined) {
        this.#insertRecord(device, null, record, { clock, sentMs }, transaction)
      } else if (!entry.ranges.has(seq)) {
        this.#epochs.add(entry, seq, this.#insertRecord(device, entry.id, record, { clock, sentMs }, transaction))
        if (isKnownRecord(record) && record.kind === 'gap') this.#epochs.addLost(entry, record)
      }
    }
    const stored = transaction.stored - before.stored
    if (entry === undefined) this.#devices.change(device, { unsequenced: stored })
    return {
      state: 'stored',
      stored,
      duplicates: envelope.records.length - stored,
      bytes: transaction.bytes - before.bytes,
      lastId: transaction.lastId,
    }
  }

  #epochFor(device: Device, epoch: Epoch, records: readonly DeviceRecord[], nowMs: number): EpochEntry {
    const entry = this.#epochs.get(device.id, epoch, nowMs)
    if (entry === undefined) {
      throw new Refusal('bad-shape', `epoch ${epoch} is one more than the ${maxEpochsPerDevice} of a device`)
    }
    const seqs = records.map((record) => record.seq ?? 0)
    const gapCount = records.filter((record) => record.kind === 'gap').length
    if (!this.#epochs.hasRoom(entry, seqs, gapCount)) {
      throw new Refusal('bad-shape', `the seqs of epoch ${epoch} would fall into more than ${maxRangesPerEpoch} ranges`)
    }
    return entry
  }

  #insertRecord(
    device: Device,
    epochId: number | null,
    record: DeviceRecord,
    { clock, sentMs }: { clock?: Envelope['clock']; sentMs?: Envelope['sentMs'] },
    transaction: Transaction,
  ): number {
    const isAnswer = record.kind === 'answer' ? 1 : 0
    const body = JSON.stringify(record)
    const { lastInsertRowid } = this.#insert.run(
      device.id,
      epochId,
      record.seq ?? null,
      record.kind,
      nameOf(record),
      isAnswer,
      observedAtMs({ atMs: record.atMs, sentMs, clock, receivedAtMs: transaction.nowMs }),
      transaction.nowMs,
      clock ?? null,
      body,
    )
    transaction.lastId = Number(lastInsertRowid)
    transaction.stored++
    transaction.answers += isAnswer
    const bytes = Buffer.byteLength(body)
    transaction.bytes += bytes
    this.#devices.change(device, { bytes })
    return transaction.lastId
  }

  /** Leaves a trace of a publish that can never be stored: what it was, by hash and first bytes, and why not. */
  #refuse({ payload, encoding }: Publish, device: Device, why: Refusal, transaction: Transaction): Outcome {
    const outcome: Outcome = { state: 'refused', reason: why.reason, message: why.message.slice(0, 500) }
    if (why.reason === 'version-unsupported') return outcome
    this.#devices.change(device, { refused: 1 })
    const trace = {
      kind: 'refused',
      reason: outcome.reason,
      message: outcome.message,
      encoding,
      bytes: payload.byteLength,
      sha256: createHash('sha256').update(payload).digest('hex'),
      head: Buffer.from(payload.subarray(0, refusedHeadBytes)).toString('base64'),
    }
    this.#insertRecord(device, null, trace, {}, transaction)
    return outcome
  }
}

/** What one transaction has done so far. */
interface Transaction {
  readonly nowMs: number
  /** Of maxBytes, when it began. */
  freeBytes: number
  lastId: number
  stored: number
  answers: number
  /** Of record bodies. */
  bytes: number
}

function prepareTrim(database: Database.Database, isAnswer: 0 | 1) {
  const where = `FROM record WHERE is_answer = ${isAnswer} AND id <= ?`
  return {
    next: database.prepare<[number, number], { id: number; deviceId: number; bytes: number }>(
      `SELECT id, device_id AS deviceId, octet_length(body) AS bytes ${where} ORDER BY id LIMIT ?`,
    ),
    remove: database.prepare<[number]>(`DELETE ${where}`),
  }
}

/** The query a record is about, as far as its kind is known. */
function nameOf(record: DeviceRecord): string | null {
  if (!isKnownRecord(record)) return null
  switch (record.kind) {
    case 'snapshot':
    case 'delta':
    case 'event':
      return record.name
    case 'answer':
      return record.queryId
    case 'gap':
    case 'status':
      return null
  }
}

function isStorageError(error: unknown): boolean {
  return error instanceof AppError || String((error as { code?: unknown }).code).startsWith('SQLITE_')
}

/** What SQLite says when the disk is full depends on what it wanted to write. */
function mayBeSpace(error: unknown): boolean {
  const { code } = (error instanceof AppError ? error.cause : error) as { code?: unknown }
  return /^(SQLITE_(FULL|IOERR|CANTOPEN)|ENOSPC)/.test(String(code))
}

function fileBytes(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}
