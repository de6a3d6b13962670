// What the receiver has of each scheduled query, kept over restarts in dataDir/results:
//   state        one small file: for each query its counter, the seqs of its newest records, its last slot
//   <hash>.rows  the rows of one query, compressed, replaced only when they changed
// Invariants: nothing is written before the record it follows from is durable in the outbox, or named in a gap, so the
// store never runs ahead of it; when it may have fallen behind (a crash in between), all rows are sent again rather than a
// wrong change. Rows of snapshots that come oftener than hourly stay in memory: a restart costs a snapshot, no flash wear.
import { createHash } from 'node:crypto'
import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { AppError } from '../../lib/errors.ts'
import type { Logger } from '../../lib/log.ts'
import { toColumnar, toRows, type Columnar } from '../../protocol/columnar.ts'
import { compress, decompress } from '../../protocol/compression.ts'
import { limits } from '../../protocol/limits.ts'
import type { SeqRange } from '../../protocol/seq-ranges.ts'
import { readChecked, writeChecked } from './checked-file.ts'
import type { Held, Result } from './differ.ts'
import type { Clock, RecordSink } from './ports.ts'
import type { Totals } from './statistics.ts'

/** What is kept of one query. */
export interface Entry {
  held?: Held
  /** Seq of the record that the rows belong to. */
  rowsSeq?: number
  lastSlotMs?: number
  /** When it was last part of the schedule. */
  scheduledAtMs: number
  totals?: Totals
}

interface State {
  epoch: string
  /** Every record of a scheduled query with a lower seq is accounted for in here. */
  upTo: number
  entries: Record<string, Entry>
}

interface RowsHead {
  name: string
  seq: number
  held: Held
}

interface Packed {
  head: RowsHead
  body: Buffer
}

/** As osquery: results of a query that left the schedule are kept for a week. */
const keepUnscheduledMs = 7 * 86_400_000
/** Without changes the state is written no oftener than this. */
const saveEveryMs = 600_000
/** Rows larger than this, compressed, are not kept over a restart. */
const rowsMaxBytes = 8 * 1_048_576

export interface ResultsStoreOptions {
  folder: string
  outbox: RecordSink
  clock: Clock
  log: Logger
  /** Names in the schedule; true when the rows are worth a place on disk. */
  queries: ReadonlyMap<string, boolean>
}

export class ResultsStore {
  readonly #options: ResultsStoreOptions
  readonly #entries: Map<string, Entry>
  /** Rows that are not on disk, or not yet. */
  readonly #packed = new Map<string, Packed>()
  /** Names whose state and rows on disk were found to fit, or made so, since the start. */
  readonly #isChecked = new Set<string>()
  /** Records that are not durable yet. */
  readonly #pending = new Set<number>()
  #turn: Promise<void> = Promise.resolve()
  #isSaveDue = false
  #savedAtSteadyMs: number
  #isFailing = false

  private constructor(options: ResultsStoreOptions, entries: Map<string, Entry>) {
    this.#options = options
    this.#entries = entries
    this.#savedAtSteadyMs = options.clock.steadyMs()
  }

  /** Damage is logged and reads as "nothing kept"; only a folder that cannot be used throws (exit 5). */
  static async open(options: ResultsStoreOptions): Promise<ResultsStore> {
    const { folder, log } = options
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 })
    } catch (error) {
      throw new AppError('RESULTS_UNUSABLE', `cannot make the folder ${folder}: ${codeOf(error)}`, {
        exit: 'storage',
        hint: 'check that its parent exists and that this user may write there',
        cause: error,
      })
    }
    const state = await readState(join(folder, 'state'), log)
    const store = new ResultsStore(options, new Map(Object.entries(state?.entries ?? {})))
    store.#distrust(state)
    store.#forgetUnscheduled()
    await store.#removeStrayFiles()
    return store
  }

  entry(name: string): Entry {
    const known = this.#entries.get(name)
    if (known !== undefined) return known
    const entry = { scheduledAtMs: this.#options.clock.nowMs() }
    this.#entries.set(name, entry)
    return entry
  }

  /** What the receiver has of a query; undefined when that is not known and everything begins anew. */
  async held(name: string): Promise<Held | undefined> {
    const entry = this.entry(name)
    if (this.#isChecked.has(name)) return entry.held
    this.#isChecked.add(name)
    const rows = await this.#readRows(name)
    if (rows === undefined) delete entry.held
    // The rows of another record than the one the state knows: one of the two is older. They still are a result that was
    // reported, so what changed since is news.
    else if (entry.held === undefined || entry.rowsSeq !== rows.head.seq) {
      entry.held = { ...rows.head.held, isBroken: true }
      entry.rowsSeq = rows.head.seq
    }
    return entry.held
  }

  async rows(name: string): Promise<Result | undefined> {
    const packed = this.#packed.get(name) ?? (await this.#readRows(name))
    return packed && unpack(packed.body)
  }

  /**
   * A record went into the outbox: the receiver will have this. Rows are given when they changed. Written to disk once
   * the record's fate is known; when it is lost, all rows will be sent again.
   */
  put(name: string, held: Held, rows: Result | undefined, stored: Promise<boolean>): void {
    const entry = this.entry(name)
    entry.held = held
    if (rows !== undefined) {
      entry.rowsSeq = held.seq
      this.#packed.set(name, { head: { name, seq: held.seq, held }, body: pack(rows) })
    }
    this.#pending.add(held.seq)
    void stored.then((isStored) => {
      this.#pending.delete(held.seq)
      if (!isStored) this.#break(name, held.seq, held.seq)
      if (rows !== undefined) this.#inTurn(() => this.#writeRows(name, held.seq))
      else if (this.#options.clock.steadyMs() - this.#savedAtSteadyMs >= saveEveryMs) this.save()
    })
  }

  /** Records that will never arrive: what builds on them must be sent again in full. */
  noteLost(ranges: readonly SeqRange[]): void {
    for (const name of this.#entries.keys()) for (const [from, to] of ranges) this.#break(name, from, to)
  }

  /** Writes the state soon. */
  save(): void {
    if (this.#isSaveDue) return
    this.#isSaveDue = true
    this.#inTurn(() => this.#writeState())
  }

  /** Resolves when everything is written that can be. */
  async close(): Promise<void> {
    this.save()
    let turn: Promise<void> | undefined
    while (turn !== this.#turn) await (turn = this.#turn)
  }

  #break(name: string, from: number, to: number): void {
    const held = this.#entries.get(name)?.held
    if (held !== undefined && from <= held.seq && to >= held.snapshotSeq) held.isBroken = true
  }

  /** What a state of another epoch, or older than the outbox, cannot know. */
  #distrust(state: State | undefined): void {
    const { epoch, atStart } = this.#options.outbox
    const isCurrent = state !== undefined && state.epoch === epoch && atStart.nextSeq <= state.upTo
    for (const { held } of this.#entries.values()) {
      if (held !== undefined && (!isCurrent || held.seq >= atStart.nextSeq)) held.isBroken = true
    }
    this.noteLost(atStart.lost)
  }

  #forgetUnscheduled(): void {
    const nowMs = this.#options.clock.nowMs()
    for (const [name, entry] of this.#entries) {
      if (this.#options.queries.has(name)) entry.scheduledAtMs = nowMs
      else if (nowMs - entry.scheduledAtMs > keepUnscheduledMs) this.#entries.delete(name)
    }
  }

  async #removeStrayFiles(): Promise<void> {
    const { folder } = this.#options
    const wanted = new Set([...this.#entries.keys(), ...this.#options.queries.keys()].map(fileName))
    for (const file of await readdir(folder).catch(() => [])) {
      if (file.endsWith('.new') || (file.endsWith('.rows') && !wanted.has(file)))
        await rm(join(folder, file), { force: true })
    }
  }

  #isKept(name: string): boolean {
    return this.#options.queries.get(name) ?? false
  }

  async #readRows(name: string): Promise<Packed | undefined> {
    if (!this.#isKept(name)) return undefined
    const path = join(this.#options.folder, fileName(name))
    try {
      const content = await readChecked(path)
      const head = content?.head as RowsHead | undefined
      return content && head?.name === name ? { head, body: content.body } : undefined
    } catch (error) {
      this.#options.log.warn({ query: name, error: (error as Error).message }, 'the last result of a query is lost')
      await rm(path, { force: true }).catch(() => undefined)
      return undefined
    }
  }

  async #writeRows(name: string, seq: number): Promise<void> {
    const packed = this.#packed.get(name)
    // A newer result will be written when its own record is durable.
    if (packed === undefined || packed.head.seq !== seq || !this.#isKept(name)) return
    if (packed.body.byteLength > rowsMaxBytes) return
    await writeChecked(join(this.#options.folder, fileName(name)), packed)
    if (this.#packed.get(name) === packed) this.#packed.delete(name)
    this.save()
  }

  async #writeState(): Promise<void> {
    this.#isSaveDue = false
    this.#savedAtSteadyMs = this.#options.clock.steadyMs()
    const { epoch, state } = this.#options.outbox
    const saved: State = {
      epoch,
      upTo: Math.min(state.nextSeq, ...this.#pending),
      entries: Object.fromEntries(this.#entries),
    }
    await writeChecked(join(this.#options.folder, 'state'), { head: saved, body: Buffer.alloc(0) })
  }

  /** One after the other; a disk that fails costs a resync after the next restart, not the agent. */
  #inTurn(work: () => Promise<void>): void {
    this.#turn = this.#turn.then(work).then(
      () => {
        this.#isFailing = false
      },
      (error: unknown) => {
        if (!this.#isFailing) {
          this.#options.log.warn({ error: codeOf(error) }, 'cannot write the last results; they are kept in memory')
        }
        this.#isFailing = true
      },
    )
  }
}

async function readState(path: string, log: Logger): Promise<State | undefined> {
  try {
    const content = await readChecked(path)
    return content?.head as State | undefined
  } catch (error) {
    log.warn(
      { error: (error as Error).message },
      'what was known of earlier results is lost: all rows will be sent again',
    )
    return undefined
  }
}

function fileName(name: string): string {
  return `${createHash('sha256').update(name).digest('hex').slice(0, 32)}.rows`
}

function pack({ columns, rows }: Result): Buffer {
  return compress('br', Buffer.from(JSON.stringify({ columns, rows: toColumnar(columns.length, rows) })))
}

function unpack(body: Buffer): Result {
  // Our own data, behind a checksum: the bound only keeps memory in check.
  const json = decompress('br', body, 2 * limits.segmentBodyBytes).toString('utf8')
  const { columns, rows } = JSON.parse(json) as { columns: string[]; rows: Columnar }
  return { columns, rows: toRows(rows) }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? String(error)
}
