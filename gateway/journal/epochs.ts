// Which seqs of which epoch the journal has seen, in memory: a window on the `epoch` table, bounded, least recently
// used first out. What a batch changed is written in the batch's own transaction, and forgotten when that fails.
import type { Database } from '../../lib/sqlite/open.ts'
import { SeqRanges } from '../../protocol/seq-ranges.ts'
import type { GapRecord } from '../../protocol/records.ts'

export interface LostRange {
  from: number
  to: number
  reason: string
}

export interface EpochEntry {
  readonly id: number
  readonly key: string
  readonly ranges: SeqRanges
  readonly lost: LostRange[]
  lastRecordId: number
  /** Ranges at the last write. */
  rangeCount: number
  /** Seqs added since: rangeCount plus this is an upper bound of the ranges now. */
  addedCount: number
}

/** Ranges in memory, over all epochs; a well-behaved epoch is one range. */
const maxCachedRanges = 200_000
/** Separate ranges (and lost ranges) an epoch may have: bounds what a device that skips seqs makes us write each time. */
export const maxRangesPerEpoch = 10_000
/** An epoch is one life of a device's outbox; a device with its outbox in memory makes one per start. */
export const maxEpochsPerDevice = 1000

export class EpochCache {
  readonly #entries = new Map<string, EpochEntry>()
  readonly #touched = new Set<EpochEntry>()
  #cachedRanges = 0

  readonly #find
  readonly #insert
  readonly #update
  readonly #countOfDevice
  readonly #dropOldest

  constructor(database: Database.Database) {
    this.#find = database.prepare<[number, string], { id: number; received: string; lost: string; last: number }>(
      'SELECT id, received, lost, last_record_id AS last FROM epoch WHERE device_id = ? AND epoch = ?',
    )
    this.#insert = database.prepare<[number, string, number, number]>(
      'INSERT INTO epoch (device_id, epoch, first_received_ms, last_received_ms) VALUES (?, ?, ?, ?)',
    )
    this.#update = database.prepare<[string, string, number, number, number]>(
      'UPDATE epoch SET received = ?, lost = ?, last_received_ms = ?, last_record_id = ? WHERE id = ?',
    )
    this.#countOfDevice = database.prepare<[number], number>('SELECT count(*) FROM epoch WHERE device_id = ?').pluck()
    // Only an epoch whose records have all left the journal: its rows still need its name.
    this.#dropOldest = database
      .prepare<[number], string>(
        `DELETE FROM epoch WHERE id = (
           SELECT id FROM epoch WHERE device_id = ?
           AND last_record_id < coalesce((SELECT min(id) FROM record), 9e18)
           ORDER BY last_received_ms, id LIMIT 1) RETURNING epoch`,
      )
      .pluck()
  }

  /**
   * The entry of an epoch, made when it is new. Undefined when the device has too many epochs and none of them is done
   * with. Call inside a transaction.
   */
  get(deviceId: number, epoch: string, nowMs: number): EpochEntry | undefined {
    const key = `${deviceId}/${epoch}`
    const cached = this.#entries.get(key)
    if (cached) {
      this.#entries.delete(key)
      this.#entries.set(key, cached)
      return cached
    }
    const row = this.#find.get(deviceId, epoch)
    const entry = row === undefined ? this.#create(key, deviceId, epoch, nowMs) : revive(key, row)
    if (entry === undefined) return undefined
    this.#entries.set(key, entry)
    this.#cachedRanges += entry.rangeCount
    return entry
  }

  /** Whether the seqs and gaps of a publish fit without exceeding the ranges an epoch may have. */
  hasRoom(entry: EpochEntry, seqs: readonly number[], gapCount: number): boolean {
    if (entry.lost.length + gapCount > maxRangesPerEpoch) return false
    if (entry.rangeCount + entry.addedCount + seqs.length <= maxRangesPerEpoch) return true
    const trial = new SeqRanges(entry.ranges.toJSON())
    for (const seq of seqs) trial.add(seq)
    return trial.toJSON().length <= maxRangesPerEpoch
  }

  /** Notes a new record; write() makes it durable with the rest of the transaction. */
  add(entry: EpochEntry, seq: number, recordId: number): void {
    entry.ranges.add(seq)
    entry.addedCount++
    entry.lastRecordId = recordId
    this.#touched.add(entry)
  }

  addLost(entry: EpochEntry, { from, to, reason }: GapRecord): void {
    const last = entry.lost.at(-1)
    if (last !== undefined && last.reason === reason && last.from <= from && from <= last.to + 1) {
      last.to = Math.max(last.to, to)
    } else entry.lost.push({ from, to, reason })
    this.#touched.add(entry)
  }

  /** Writes every entry that changed since the last write or forget. Call inside the transaction, last. */
  write(nowMs: number): void {
    for (const entry of this.#touched) {
      const ranges = entry.ranges.toJSON()
      this.#update.run(JSON.stringify(ranges), JSON.stringify(entry.lost), nowMs, entry.lastRecordId, entry.id)
      this.#cachedRanges += ranges.length - entry.rangeCount
      entry.rangeCount = ranges.length
      entry.addedCount = 0
    }
  }

  /** The transaction is on disk: nothing is pending any more. */
  committed(): void {
    this.#touched.clear()
    for (const key of this.#entries.keys()) {
      if (this.#cachedRanges <= maxCachedRanges) break
      this.#forget(key)
    }
  }

  /** The transaction was rolled back: forget everything that is not on disk for certain. */
  rolledBack(): void {
    this.#touched.clear()
    this.#entries.clear()
    this.#cachedRanges = 0
  }

  #create(key: string, deviceId: number, epoch: string, nowMs: number): EpochEntry | undefined {
    if ((this.#countOfDevice.get(deviceId) ?? 0) >= maxEpochsPerDevice) {
      const dropped = this.#dropOldest.get(deviceId)
      if (dropped === undefined) return undefined
      this.#forget(`${deviceId}/${dropped}`)
    }
    const id = Number(this.#insert.run(deviceId, epoch, nowMs, nowMs).lastInsertRowid)
    return { id, key, ranges: new SeqRanges(), lost: [], lastRecordId: 0, rangeCount: 1, addedCount: 0 }
  }

  #forget(key: string): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#entries.delete(key)
    this.#touched.delete(entry)
    this.#cachedRanges -= entry.rangeCount
  }
}

function revive(key: string, row: { id: number; received: string; lost: string; last: number }): EpochEntry {
  const received = JSON.parse(row.received) as [number, number][]
  return {
    id: row.id,
    key,
    ranges: new SeqRanges(received),
    lost: JSON.parse(row.lost) as LostRange[],
    lastRecordId: row.last,
    rangeCount: Math.max(1, received.length),
    addedCount: 0,
  }
}
