// An outbox in memory whose disk and link the test controls, and what a gateway makes of the records.
import type { Cell } from '../../protocol/cells.ts'
import { toRows } from '../../protocol/columnar.ts'
import { applyDelta } from '../../protocol/delta.ts'
import { Epoch } from '../../protocol/ids.ts'
import { checkRecord, type DeltaRecord, type DeviceRecord, type SnapshotRecord } from '../../protocol/records.ts'
import type { SeqRange } from '../../protocol/seq-ranges.ts'
import { Refusal } from '../../protocol/refusal.ts'
import type { RecordSink } from './ports.ts'

interface Pending {
  record: DeviceRecord & { seq: number }
  settle(stored: boolean): void
}

export class FakeOutbox implements RecordSink {
  readonly epoch: Epoch
  readonly atStart: { lost: SeqRange[]; nextSeq: number }
  /** Durable, in order. */
  readonly records: (DeviceRecord & { seq: number })[] = []
  recordMaxBytes = Infinity
  #pending: Pending[] = []
  #nextSeq: number

  constructor(epoch: string, nextSeq = 1, lost: SeqRange[] = []) {
    this.epoch = Epoch.parse(epoch)
    this.atStart = { lost, nextSeq }
    this.#nextSeq = nextSeq
  }

  get state() {
    return { nextSeq: this.#nextSeq }
  }

  add(record: Omit<DeviceRecord, 'seq'>) {
    const full = JSON.parse(JSON.stringify({ seq: this.#nextSeq, ...record })) as DeviceRecord & { seq: number }
    if (JSON.stringify(full).length > this.recordMaxBytes) throw new Refusal('too-large', 'a record')
    checkRecord(full)
    this.#nextSeq++
    const stored = new Promise<boolean>((settle) => this.#pending.push({ record: full, settle }))
    return { seq: full.seq, stored }
  }

  async flush(): Promise<void> {
    this.#settle(true)
    await Promise.resolve()
  }

  /** What waits for the disk is given up instead. */
  fail(): void {
    this.#settle(false)
  }

  /** The process dies: what was not durable is gone, its seqs are given out again. */
  crash(): FakeOutbox {
    return new FakeOutbox(this.epoch, (this.records.at(-1)?.seq ?? this.atStart.nextSeq - 1) + 1)
  }

  #settle(stored: boolean): void {
    for (const { record, settle } of this.#pending.splice(0)) {
      if (stored) this.records.push(record)
      settle(stored)
    }
  }
}

/** Folds records of one query as a gateway does, and logs changes as the centre does. */
export class FakeReceiver {
  rows: readonly (readonly Cell[])[] | undefined
  columns: string[] = []
  isStale = false
  /** `+row`, `-row`, as the result log of a differential query. */
  readonly log: string[] = []
  counter: number | undefined
  #at = ''

  take(epoch: string, record: DeviceRecord): void {
    if (record.kind !== 'snapshot' && record.kind !== 'delta') return
    const result = record as SnapshotRecord | DeltaRecord
    this.counter = result.counter
    if (result.kind === 'snapshot') {
      this.rows = toRows(result.rows)
      this.columns = result.columns
      this.isStale = false
      if (result.resync !== true) this.#log('+', toRows(result.rows))
    } else {
      const added = toRows(result.added)
      const removed = toRows(result.removed)
      const fits = this.rows !== undefined && this.#at === `${epoch} ${result.base}`
      const rows = fits && !this.isStale ? applyDelta(this.rows ?? [], { added, removed }) : undefined
      this.isStale ||= rows === undefined
      this.rows = rows ?? this.rows
      this.#log('-', removed)
      this.#log('+', added)
    }
    if (!this.isStale) this.#at = `${epoch} ${result.seq}`
  }

  #log(sign: string, rows: readonly (readonly Cell[])[]): void {
    for (const row of rows) this.log.push(sign + JSON.stringify(row))
  }
}
