// Turns committed records into lines of the result log, each record exactly once: lines are appended and fsynced, then
// the position (record id and file size) is committed; after a crash the file is cut back to the committed size. Runs
// beside the intake and never holds up a receipt; when the file cannot be written it waits and tries again.
import { setTimeout as sleep } from 'node:timers/promises'
import { Backoff } from '../../lib/backoff.ts'
import type { Logger } from '../../lib/log.ts'
import type { DeltaRecord, EventRecord, SnapshotRecord } from '../../protocol/records.ts'
import { recordsTopic, type Notifier } from '../notifier.ts'
import { foldRecord, type Folded } from '../store/fold.ts'
import type { HostKey, LoggableRecord, LoggedTable, Store } from '../store/store.ts'
import { LogFile } from './file.ts'
import { rowLines, snapshotLine, type LineHead } from './lines.ts'

const batchRecords = 500
const batchBytes = 4 * 1_048_576
/** Lines are handed to the file in pieces of about this size. */
const chunkChars = 262_144
const idleMs = 30_000

export interface ResultLogOptions {
  path: string
  store: Store
  notifier: Notifier
  log: Logger
  stopping: AbortSignal
}

interface TableChange {
  key: HostKey
  name: string
  table: LoggedTable
}

export class ResultLog {
  readonly #options: ResultLogOptions
  readonly #file: LogFile
  #recordId: number

  private constructor(options: ResultLogOptions, file: LogFile, recordId: number) {
    this.#options = options
    this.#file = file
    this.#recordId = recordId
  }

  /** Throws AppError RESULT_LOG_UNUSABLE. */
  static async open(options: ResultLogOptions): Promise<ResultLog> {
    const known = await options.store.resultLogPosition()
    const file = await LogFile.open(options.path, known?.path === options.path ? known : undefined)
    return new ResultLog(options, file, known?.recordId ?? 0)
  }

  /** Records up to this id are in the file for good. */
  get recordId(): number {
    return this.#recordId
  }

  async close(): Promise<void> {
    await this.#file.close()
  }

  /** Writes until stopped, then closes the file. */
  async run(): Promise<void> {
    const { notifier, stopping, log } = this.#options
    const listener = notifier.listen(recordsTopic)
    const backoff = new Backoff({ baseMs: 1000, maxMs: 60_000 })
    try {
      while (!stopping.aborted) {
        try {
          const isMore = await this.writeBatch()
          backoff.reset()
          if (!isMore) await listener.wait(idleMs, stopping)
        } catch (error) {
          const waitMs = 1000 + backoff.nextMs()
          log.error({ err: error, waitMs }, 'result log cannot be written; its records wait')
          await sleep(waitMs, undefined, { signal: stopping }).catch(() => undefined)
        }
      }
    } finally {
      listener.close()
      await this.close()
    }
  }

  /** Writes the next records. False when there are none. */
  async writeBatch(): Promise<boolean> {
    const { store, path } = this.#options
    const records = await store.recordsAfter(this.#recordId, { maxCount: batchRecords, maxBytes: batchBytes })
    const last = records.at(-1)
    if (last === undefined) return false
    await this.#file.followRotation()
    const startBytes = this.#file.sizeBytes
    const changes = new Map<string, TableChange>()
    try {
      let text = ''
      for (const record of records) {
        for await (const piece of this.#linesOf(record, changes)) {
          text += piece
          if (text.length >= chunkChars) {
            await this.#file.append(text)
            text = ''
          }
        }
      }
      await this.#file.append(text)
      await this.#file.sync()
      const { inode, sizeBytes } = this.#file
      await store.saveResultLog({ recordId: last.id, path, inode, sizeBytes }, [...changes.values()])
    } catch (error) {
      await this.#file.cutBack(startBytes)
      throw error
    }
    this.#recordId = last.id
    return true
  }

  async *#linesOf(item: LoggableRecord, changes: Map<string, TableChange>): AsyncGenerator<string> {
    const { record } = item
    if (record.kind === 'event') {
      const event = record as EventRecord
      yield* rowLines(headOf(item, event.name, 0), event.columns, event.rows, 'added')
    } else if (record.kind === 'snapshot' || record.kind === 'delta') {
      const result = record as SnapshotRecord | DeltaRecord
      // A device that names no mode sends whole tables: osquery's snapshots.
      const mode = result.mode ?? (result.kind === 'snapshot' ? 'snapshot' : 'differential')
      if (mode === 'snapshot') yield* this.#snapshotMode(item, result, changes)
      else yield* differentialMode(item, result)
    }
  }

  /** All rows after this record; a delta needs those before it, which this log keeps for itself. */
  async *#snapshotMode(
    item: LoggableRecord,
    record: SnapshotRecord | DeltaRecord,
    changes: Map<string, TableChange>,
  ): AsyncGenerator<string> {
    const { site, device, epoch, seq, receivedAtMs } = item
    const key = `${site}/${device}/${record.name}`
    const before = changes.get(key)?.table ?? (await this.#options.store.loggedTable({ site, device }, record.name))
    const { folded, outcome } = foldRecord(before && asFolded(before), record, { epoch, seq, receivedAtMs })
    if (folded === undefined) return
    const table = { ...folded, rows: folded.rows() }
    changes.set(key, { key: { site, device }, name: record.name, table })
    // Rows that are not known for certain are not logged: the next snapshot brings them.
    if (outcome === 'changed' || outcome === 'unchanged') {
      yield* snapshotLine(headOf(item, record.name, 0), table.columns, table.rows)
    }
  }
}

function* differentialMode(item: LoggableRecord, record: SnapshotRecord | DeltaRecord): Generator<string> {
  const head = headOf(item, record.name, record.counter ?? 0)
  if (record.kind === 'snapshot') {
    // A resync repeats rows that were logged before, because the receiver lost track of them.
    if (record['resync'] !== true) yield* rowLines(head, record.columns, record.rows, 'added')
    return
  }
  if (record.logRemoved !== false) yield* rowLines(head, record.columns, record.removed, 'removed')
  yield* rowLines(head, record.columns, record.added, 'added')
}

function headOf(item: LoggableRecord, name: string, counter: number): LineHead {
  const { device, site, observedAtMs, epoch } = item
  return { name, host: device, site, atMs: observedAtMs, epoch, counter }
}

function asFolded(table: LoggedTable): Folded {
  return { ...table, rows: () => table.rows }
}
