// The device's records on their way out: append-only files in one folder. No SQLite, because the agent has no native code.
//   - A record gets its seq at once, is written and synced (many at a time) before anybody may send it, and stays until
//     it is acknowledged or named in a gap.
//   - A seq is never given to two records that could have left the device. The epoch is a random id made with the first
//     file; file names carry it, so no other file has to survive.
//   - Two priorities, each with its own files. Whole files go: when all in them is acknowledged, or, when the outbox is
//     full, the oldest of low priority, and then a gap record that names exactly what they still held is synced first.
//   - The newest file of each priority is never removed on acknowledgement: it tells the next start where seqs continue.
//   - What a write had under way is in every frame of it (frame.ts), so that a start after a crash knows what was torn.
//   - Whatever is damaged is set aside, named in a gap and does not stop the rest.
import { randomBytes } from 'node:crypto'
import type { Logger } from '../../lib/log.ts'
import { AppError } from '../../lib/errors.ts'
import { formatBytes } from '../../lib/units.ts'
import type { Epoch } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import type { DeviceRecord, GapRecord } from '../../protocol/records.ts'
import { Refusal } from '../../protocol/refusal.ts'
import { SeqRanges, type SeqRange } from '../../protocol/seq-ranges.ts'
import { saveAccounted } from './accounted.ts'
import { openFolder, type Disk } from './disk.ts'
import { FileSet, type Entry } from './file-set.ts'
import { encodeBody, type Body } from './frame.ts'
import { GapBook, joined, type Gap, type GapReason } from './gap-book.ts'
import { frameBytes, type LogFile, type Priority } from './log-file.ts'
import { recover, type Recovered } from './recovery.ts'

export interface OutboxOptions {
  /** Bytes of all files together; at least 8 × fileBytes. */
  maxBytes: number
  /** Size of one file: what is lost at once when the outbox is full. */
  fileBytes?: number
  /** How long a record of low priority may wait for others, to be written with them. */
  flushDelayMs?: number
  log: Logger
  nowMs?: () => number
  disk?: Disk
}

export interface Added {
  seq: number
  /** True once the record is durable; false when it could not be stored and a gap will name it. Never rejects. */
  stored: Promise<boolean>
}

/** Records handed out for sending, until they are acknowledged or released. */
export interface Lease {
  records: DeviceRecord[]
  isUrgent: boolean
  places: readonly { file: LogFile; place: number }[]
}

export interface OutboxState {
  epoch: Epoch
  /** Neither acknowledged nor named in a gap. */
  recordCount: number
  byteCount: number
  maxBytes: number
  nextSeq: number
  /** Since this process started. */
  lostCount: number
  writeCount: number
  writtenBytes: number
}

interface Pending extends Entry {
  settle(stored: boolean): void
}

/** Records of one write: bounds what one torn write can lose. */
const batchRecords = 64
const defaultFileBytes = 1_048_576
const defaultFlushDelayMs = 5000
const retryAfterMs = 30_000
const accountedEveryMs = 1_800_000
/** At most one gap per so many bytes of a dropped file: telling of it takes a thirtieth of what dropping it frees. */
const gapShare = 4096
/** Room on a full disk for the gap that must be written before anything may be deleted. */
const reserveName = 'reserve'

export class Outbox {
  readonly epoch: Epoch
  /** What the start found lost or gave up, and the first seq it gave out: for those who remember seqs of an earlier run. */
  readonly atStart: { lost: readonly SeqRange[]; nextSeq: number }
  /** Called when records are ready to be sent. */
  onStored: () => void = () => {}
  /** Called before records are given up, with their seqs. */
  onLost: (ranges: readonly SeqRange[], reason: GapReason) => void

  readonly #disk: Disk
  readonly #log: Logger
  readonly #maxBytes: number
  readonly #fileBytes: number
  readonly #flushDelayMs: number
  readonly #nowMs: () => number
  readonly #files: FileSet
  readonly #accounted: SeqRanges
  #pending: Pending[] = []
  #pendingBytes = 0
  #nextSeq: number
  #highestWritten: number
  readonly #gaps: GapBook
  #turn: Promise<unknown> = Promise.resolve()
  #timer: NodeJS.Timeout | undefined
  #isTimerUrgent = false
  #accountedSavedAtMs: number
  #isFailing = false
  #isClosed = false
  #lostCount = 0

  private constructor(disk: Disk, recovered: Recovered, options: OutboxOptions) {
    this.#disk = disk
    this.#log = options.log
    this.#fileBytes = options.fileBytes ?? defaultFileBytes
    this.#maxBytes = options.maxBytes
    this.#flushDelayMs = options.flushDelayMs ?? defaultFlushDelayMs
    this.#nowMs = options.nowMs ?? Date.now
    if (this.#maxBytes < 8 * this.#fileBytes) {
      throw new AppError('OUTBOX_TOO_SMALL', `an outbox of ${formatBytes(this.#maxBytes)}`, {
        exit: 'config',
        hint: `give it at least ${formatBytes(8 * this.#fileBytes)}`,
      })
    }
    this.epoch = recovered.epoch
    // Gap records that are still here tell of losses that whoever remembers seqs may not have heard of.
    const lost = [...recovered.lost, ...[...recovered.gaps.values()].map(({ from, to }): SeqRange => [from, to])]
    this.atStart = { lost, nextSeq: recovered.nextSeq }
    this.onLost = (ranges) => lost.push(...ranges)
    this.#files = new FileSet(disk, recovered.epoch, this.#fileBytes, recovered.files)
    this.#nextSeq = recovered.nextSeq
    this.#highestWritten = recovered.nextSeq - 1
    this.#gaps = new GapBook(recovered.gaps)
    this.#accounted = recovered.accounted
    this.#accountedSavedAtMs = this.#nowMs()
  }

  /** Opens or makes the outbox in a folder. Damage is mended on the way; only an unusable folder throws (exit 5). */
  static async open(folder: string, options: OutboxOptions): Promise<Outbox> {
    try {
      const disk = options.disk ?? (await openFolder(folder))
      const recovered = await recover(disk, options.log)
      const outbox = new Outbox(disk, recovered, options)
      await outbox.#start(recovered)
      return outbox
    } catch (error) {
      if (error instanceof AppError) throw error
      const reason = (error as NodeJS.ErrnoException).code ?? (error as Error).message
      throw new AppError('OUTBOX_UNUSABLE', `cannot use the outbox ${folder}: ${reason}`, {
        exit: 'storage',
        hint: 'check that the folder exists, that this user may write there, and that the disk is not read-only',
        cause: error,
      })
    }
  }

  async #start(recovered: Recovered): Promise<void> {
    if (recovered.lost.length > 0) {
      this.#lostCount += countOf(recovered.lost)
      this.#log.error(
        { lost: recovered.lost.slice(0, 20), count: countOf(recovered.lost) },
        'records in the outbox cannot be read any more; a gap names them',
      )
      this.#gaps.owe(this.#gaps.newsOf(recovered.lost, 'outbox-damaged'))
      // In a file of its own: the newest one may be the damaged one.
      const isTold = await this.#locked(() => this.#writeBatch())
      if (!isTold && recovered.isDamaged) throw new Error('no room to name lost records in a gap')
    }
    // What is damaged may be all that shows how far seqs had got.
    if (recovered.isDamaged) {
      await this.#disk.remove(reserveName).catch(() => undefined)
      await this.#saveAccounted()
    }
    await recovered.repair((file) => this.#files.has(file))
    await this.#keepReserve()
    this.#files.continueNewest()
    await this.#locked(() => this.#removeAcknowledged())
    this.onLost = () => {}
  }

  get state(): OutboxState {
    const { epoch } = this
    const recordCount = this.#pending.length + this.#files.unacknowledgedCount
    return {
      epoch,
      recordCount,
      byteCount: this.#byteCount,
      maxBytes: this.#maxBytes,
      nextSeq: this.#nextSeq,
      lostCount: this.#lostCount,
      writeCount: this.#files.writeCount,
      writtenBytes: this.#files.writtenBytes,
    }
  }

  /**
   * Takes a record, without `seq`, and gives it the next one. `urgent` records are written at once and sent first.
   * Throws Refusal `too-large`, or AppError OUTBOX_STUCK when the disk has not kept up; no seq is used up then.
   */
  add(record: Omit<DeviceRecord, 'seq'>, { urgent = false } = {}): Added {
    const seq = this.#nextSeq
    const body = encodeBody(JSON.stringify({ seq, ...record }))
    const byteCount = frameBytes(body.bytes.byteLength)
    // An envelope adds a few hundred bytes around its records.
    if (
      byteCount > Math.min(this.#fileBytes, limits.payloadBytes - 1024) ||
      body.jsonBytes > limits.envelopeBytes - 1024
    ) {
      throw new Refusal(
        'too-large',
        `a record of ${formatBytes(body.jsonBytes)} (${formatBytes(byteCount)} compressed)`,
      )
    }
    if (this.#isClosed || this.#pendingBytes + byteCount > 2 * this.#fileBytes) {
      throw new AppError(
        'OUTBOX_STUCK',
        `the disk does not take the ${this.#pending.length} records that wait for it`,
        {
          exit: 'storage',
        },
      )
    }
    return this.#enqueue(record.kind === 'gap', body, urgent ? 'high' : 'low', byteCount)
  }

  #enqueue(isGap: boolean, body: Body, priority: Priority, byteCount: number): Added {
    const seq = this.#nextSeq++
    this.#pendingBytes += byteCount
    const stored = new Promise<boolean>((settle) => {
      this.#pending.push({ seq, body, priority, isGap, settle })
    })
    if (priority === 'high') this.#flushSoon(0)
    else if (this.#pending.length >= batchRecords || this.#pendingBytes > this.#fileBytes / 4) this.#flushSoon(0)
    else this.#flushSoon(this.#flushDelayMs)
    return { seq, stored }
  }

  #flushSoon(delayMs: number): void {
    const isUrgent = delayMs === 0
    if (this.#isClosed || (this.#timer !== undefined && (this.#isTimerUrgent || !isUrgent))) return
    clearTimeout(this.#timer)
    this.#isTimerUrgent = isUrgent
    this.#timer = setTimeout(() => {
      this.flush().catch((error: unknown) => this.#log.error({ err: error }, 'the outbox could not be written'))
    }, delayMs)
  }

  /** Resolves when everything added before is durable or given up. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    await this.#locked(async () => {
      const last = this.#nextSeq
      while (this.#gaps.isAnythingOwed || (this.#pending[0]?.seq ?? last) < last) {
        if (!(await this.#writeBatch())) break
      }
      await this.#removeAcknowledged()
      if (this.#nowMs() - this.#accountedSavedAtMs >= accountedEveryMs)
        await this.#saveAccounted().catch(() => undefined)
    })
    if (this.#gaps.isAnythingOwed) this.#flushSoon(retryAfterMs)
  }

  /**
   * Records to send next, urgent ones first, else oldest first; at least one when any waits, up to the given size of
   * their JSON. Undefined when none waits.
   */
  lease(maxBytes: number, maxRecords: number = limits.recordsPerEnvelope): Promise<Lease | undefined> {
    return this.#locked(async () => {
      if (this.#isClosed) return undefined
      const records: DeviceRecord[] = []
      const places: { file: LogFile; place: number }[] = []
      let byteCount = 0
      let isUrgent = false
      for (const file of this.#files.inSendingOrder()) {
        for (const waiting of file.waiting()) {
          const isFull = records.length >= maxRecords || byteCount + waiting.jsonBytes > maxBytes
          if (records.length > 0 && isFull) return { records, places, isUrgent }
          file.lease(waiting.place)
          const record = await this.#read(file, waiting)
          if (record === undefined) continue
          records.push(record)
          places.push({ file, place: waiting.place })
          byteCount += waiting.jsonBytes
          isUrgent ||= file.priority === 'high'
        }
      }
      return records.length === 0 ? undefined : { records, places, isUrgent }
    })
  }

  async #read(
    file: LogFile,
    at: { place: number; seq: number; offset: number; byteCount: number },
  ): Promise<DeviceRecord | undefined> {
    try {
      const json = await this.#files.read(file, at)
      if (json !== undefined) return JSON.parse(json) as DeviceRecord
    } catch (error) {
      this.#log.error({ error: String(error), file: file.name, seq: at.seq }, 'cannot read a record of the outbox')
    }
    file.acknowledge(at.place)
    this.#giveUp([[at.seq, at.seq]], 'outbox-damaged')
    return undefined
  }

  /** The gateway has these records for good: they need not be kept. */
  async acknowledge(lease: Lease): Promise<void> {
    for (const { file, place } of lease.places) file.acknowledge(place)
    for (const { seq = 0 } of lease.records) {
      this.#accounted.add(seq)
      const gap = this.#gaps.acknowledge(seq)
      if (gap !== undefined) this.#accounted.addRange(gap.from, gap.to)
    }
    if (this.#files.isAnyDone) await this.#locked(() => this.#removeAcknowledged())
  }

  /** They were not acknowledged: the next lease may hand them out again. */
  release(lease: Lease): void {
    for (const { file, place } of lease.places) file.release(place)
  }

  /** Gives records up that can never be sent; a gap names them. */
  abandon(lease: Lease, reason: GapReason): void {
    for (const { file, place } of lease.places) file.acknowledge(place)
    this.#giveUp(
      lease.records.map(({ seq = 0 }): SeqRange => [seq, seq]),
      reason,
    )
  }

  /** Writes what is pending, remembers what was acknowledged, and lets go of the files. */
  async close(): Promise<void> {
    await this.flush()
    this.#isClosed = true
    clearTimeout(this.#timer)
    await this.#locked(async () => {
      await this.#saveAccounted().catch(() => undefined)
      await this.#disk.close()
    })
  }

  /** One after the other: everything that touches files. */
  #locked<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work)
    this.#turn = result.catch(() => undefined)
    return result
  }

  get #byteCount(): number {
    return this.#files.byteCount + this.#reserveBytes
  }

  get #reserveBytes(): number {
    return Math.floor(this.#fileBytes / 4)
  }

  /** Room for what may be written before deleting takes effect: pending records and the gaps that name the deleted ones. */
  get #budget(): number {
    return this.#maxBytes - 3 * this.#fileBytes
  }

  /** Writes what is owed and one batch. False when nothing could be written and trying again now would not help. */
  async #writeBatch(): Promise<boolean> {
    const batch = this.#nextBatch()
    const byteCount = batch.reduce((sum, { body }) => sum + frameBytes(body.bytes.byteLength), 0)
    let isWritten = false
    do {
      try {
        await this.#makeRoomFor(byteCount)
        await this.#tell()
        await this.#write(batch)
        isWritten = true
      } catch (error) {
        this.#noteFailure(error)
        if (!isDiskFull(error) || !(await this.#makeRoom())) break
      }
    } while (!isWritten)
    this.#takeFromPending(batch)
    if (!isWritten && batch.length > 0) this.#giveUp(rangesOf(batch), 'outbox-full', batch[0]?.seq)
    for (const { settle } of batch) settle(isWritten)
    if (isWritten) this.onStored()
    if (isWritten && this.#isFailing) this.#log.info('the outbox can write again')
    if (isWritten) this.#isFailing = false
    return isWritten
  }

  async #makeRoomFor(byteCount: number): Promise<void> {
    for (let before = Infinity; this.#byteCount + byteCount > this.#budget && this.#byteCount < before;) {
      before = this.#byteCount
      if (!(await this.#dropOldest())) return
    }
  }

  /** What comes next, as far as it has one priority: a write that is torn then lies in one file, and says what it held. */
  #nextBatch(): Pending[] {
    let byteCount = 0
    let count = 0
    for (const { body, priority } of this.#pending.slice(0, batchRecords)) {
      byteCount += frameBytes(body.bytes.byteLength)
      if (count > 0 && (byteCount > this.#fileBytes || priority !== this.#pending[0]?.priority)) break
      count++
    }
    return this.#pending.slice(0, count)
  }

  #takeFromPending(batch: readonly Pending[]): void {
    this.#pending.splice(0, batch.length)
    this.#pendingBytes -= batch.reduce((sum, { body }) => sum + frameBytes(body.bytes.byteLength), 0)
  }

  /** Makes what is owed, and more gaps, durable. Throws when it cannot; then the seqs they would have had are owed too. */
  async #tell(more: readonly Gap[] = []): Promise<void> {
    const owed = this.#gaps.takeOwed()
    const gaps = [...owed, ...more]
    if (gaps.length === 0) return
    const entries = gaps.map(({ from, to, reason }): Entry => {
      const record: GapRecord = { seq: this.#nextSeq++, kind: 'gap', atMs: this.#nowMs(), from, to, reason }
      const body = encodeBody(JSON.stringify(record))
      return { seq: record.seq, body, priority: 'high', isGap: true }
    })
    const neverWritten = Math.min(Infinity, ...owed.map((gap) => gap.neverWritten ?? Infinity))
    try {
      await this.#write(entries, neverWritten)
    } catch (error) {
      const own = rangesOf(entries).map(([from, to]): Gap => ({ from, to, reason: 'outbox-full', neverWritten: from }))
      this.#gaps.owe([...owed, ...own])
      throw error
    }
    for (const [index, { seq }] of entries.entries()) this.#gaps.noteTold(seq, gaps[index] as Gap)
  }

  /**
   * Makes entries of one priority durable with one write and sync. `neverWritten`: lowest seq that they name and no file
   * holds.
   */
  async #write(entries: readonly Entry[], neverWritten = Infinity): Promise<void> {
    const [first] = entries
    if (first === undefined) return
    const from = Math.min(
      neverWritten,
      this.#gaps.lowestNeverWritten,
      this.#pending[0]?.seq ?? Infinity,
      ...entries.map(({ seq }) => seq),
    )
    const to = Math.max(this.#highestWritten, ...entries.map(({ seq }) => seq))
    // Where seqs jump, nothing else would tell how far, should the frames that follow be damaged.
    if (first.seq > this.#highestWritten + 1) await this.#saveAccounted(to + 1)
    await this.#files.append(entries, { from, to }, this.#highestWritten)
    this.#highestWritten = to
  }

  /** Gives the oldest file of low priority up, or, when there is none, of high. False when there is nothing to give up. */
  async #dropOldest(): Promise<boolean> {
    const { file, isOnly } = this.#files.oldest() ?? {}
    if (file === undefined) return false
    const ranges = file.ranges('unacknowledged')
    if (ranges.length > 0 || this.#gaps.isAnythingOwed) {
      this.#announceLoss(ranges, 'outbox-full')
      this.#files.finish(file)
      // With what is owed, since the file may be the only evidence of it.
      await this.#tell(this.#gaps.newsOf(ranges, 'outbox-full', Math.max(8, this.#fileBytes / gapShare)))
      this.#gaps.forget(ranges)
      this.#lostCount += countOf(ranges)
      this.#log.warn(
        { file: file.name, lost: ranges.slice(0, 20), count: countOf(ranges) },
        'the outbox is full: dropped its oldest file',
      )
    } else if (isOnly) {
      // The last file alone tells the next start the epoch, and where seqs continue.
      return false
    } else {
      await this.#saveAccounted()
    }
    await this.#files.remove(file)
    return true
  }

  /**
   * On a full disk: the reserve makes room for the gap, the gap lets a file go, and the file makes room for the reserve.
   * False when that gained nothing.
   */
  async #makeRoom(): Promise<boolean> {
    const before = this.#byteCount
    await this.#disk.remove(reserveName).catch(() => undefined)
    try {
      return (await this.#dropOldest()) && this.#byteCount < before
    } catch (error) {
      this.#noteFailure(error)
      return false
    } finally {
      await this.#keepReserve()
    }
  }

  async #keepReserve(): Promise<void> {
    try {
      await this.#disk.write(reserveName, 0, randomBytes(this.#reserveBytes))
    } catch {
      await this.#disk.remove(reserveName).catch(() => undefined)
    }
  }

  #giveUp(ranges: readonly SeqRange[], reason: GapReason, neverWritten?: number): void {
    this.#announceLoss(ranges, reason)
    this.#lostCount += countOf(ranges)
    const news = this.#gaps.newsOf(ranges, reason)
    this.#gaps.owe(neverWritten === undefined ? news : news.map((gap) => ({ ...gap, neverWritten })))
    this.#gaps.forget(ranges)
    this.#flushSoon(this.#isFailing ? retryAfterMs : 0)
  }

  #announceLoss(ranges: readonly SeqRange[], reason: GapReason): void {
    try {
      if (ranges.length > 0) this.onLost(ranges, reason)
    } catch (error) {
      this.#log.error({ err: error }, 'could not note everywhere that records are lost')
    }
  }

  #noteFailure(error: unknown): void {
    if (!this.#isFailing) {
      this.#log.error(
        { error: String(error) },
        'the outbox cannot write: new records are lost until it can, and a gap will name them',
      )
    }
    this.#isFailing = true
  }

  async #removeAcknowledged(): Promise<void> {
    // A file may be the only evidence of what is owed.
    if (!this.#gaps.isAnythingOwed) await this.#files.removeDone(this.#log)
  }

  async #saveAccounted(nextSeq = this.#highestWritten + 1): Promise<void> {
    this.#accountedSavedAtMs = this.#nowMs()
    await saveAccounted(this.#disk, { epoch: this.epoch, seqs: this.#accounted, nextSeq })
  }
}

function isDiskFull(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException
  return code === 'ENOSPC' || code === 'EDQUOT'
}

function rangesOf(entries: readonly Entry[]): SeqRange[] {
  return joined(entries.map(({ seq }): SeqRange => [seq, seq])).toJSON()
}

function countOf(ranges: readonly SeqRange[]): number {
  return ranges.reduce((sum, [from, to]) => sum + to - from + 1, 0)
}
