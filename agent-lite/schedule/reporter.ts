// From the result of a run to records in the outbox, and from these to what is remembered as sent. Deltas build on the
// seq of the record before them, so that a receiver that missed one knows.
import { toColumnar } from '../../protocol/columnar.ts'
import { checkRecord, type DeviceRecord } from '../../protocol/records.ts'
import { Refusal } from '../../protocol/refusal.ts'
import { digestOf, nextStep, type Held, type Policy, type Result, type Step } from './differ.ts'
import type { RecordSink } from './ports.ts'
import type { ResultsStore } from './results-store.ts'
import { wholeTable, type ScheduledQuery } from './scheduled-query.ts'

export interface Report {
  /** Size of the result as JSON. */
  outputBytes: number
  recordCount: number
  /** Rows at the end of the result that do not fit into a record and were left out. */
  leftOutCount: number
}

export class Reporter {
  readonly #outbox: RecordSink
  readonly #store: ResultsStore
  readonly #policy: Policy
  /** For results too large for one record: how many rows fit. Learnt anew after a start. */
  readonly #rowsMax = new Map<string, number>()

  constructor(outbox: RecordSink, store: ResultsStore, policy: Policy) {
    this.#outbox = outbox
    this.#store = store
    this.#policy = policy
  }

  /** Throws Refusal when the result cannot be a record, AppError OUTBOX_STUCK when the disk does not keep up. */
  async report(query: ScheduledQuery, full: Result, nowMs: number): Promise<Report> {
    const { jsonBytes, digest: fullDigest } = digestOf(full)
    let recordCount = 0
    let mustBeWhole = false
    for (;;) {
      const rowsMax = this.#rowsMax.get(query.name) ?? Infinity
      const leftOutCount = Math.max(0, full.rows.length - rowsMax)
      const result = leftOutCount > 0 ? { ...full, rows: full.rows.slice(0, rowsMax) } : full
      const digest = leftOutCount > 0 ? digestOf(result).digest : fullDigest
      const held = await this.#store.held(query.name)
      const step = await nextStep({
        mode: query.mode,
        result,
        digest,
        held,
        heldResult: () => this.#store.rows(query.name),
        isReported: recordCount > 0,
        mustBeWhole,
        policy: this.#policy,
        nowMs,
      })
      if (step === undefined) return { outputBytes: jsonBytes, recordCount, leftOutCount }
      try {
        this.#send(query, step, held, { result, digest }, nowMs)
        recordCount++
      } catch (error) {
        if (!(error instanceof Refusal) || error.reason !== 'too-large') throw error
        if (step.kind === 'delta' || step.result !== result) mustBeWhole = true
        else if (result.rows.length > 1) this.#rowsMax.set(query.name, Math.floor(result.rows.length / 2))
        else throw error
      }
    }
  }

  #send(
    query: ScheduledQuery,
    step: Step,
    before: Held | undefined,
    now: { result: Result; digest: string },
    nowMs: number,
  ): void {
    const record = { ...recordOf(step, before), name: query.name, atMs: nowMs, ...headOf(query, step.counter) }
    // What a receiver would refuse must not block the outbox.
    checkRecord({ ...record, seq: Number.MAX_SAFE_INTEGER })
    const { seq, stored } = this.#outbox.add(record)
    const isOld = step.kind === 'snapshot' && step.result !== now.result
    const digest = isOld && before !== undefined ? before.digest : now.digest
    const held: Held = {
      mode: query.mode,
      counter: step.counter,
      digest,
      seq,
      snapshotSeq: seq,
      snapshotAtMs: nowMs,
      deltaCount: 0,
      reportedAtMs: nowMs,
      isBroken: false,
    }
    if (step.kind === 'delta' && before !== undefined) {
      const { snapshotSeq, snapshotAtMs, isBroken } = before
      Object.assign(held, { snapshotSeq, snapshotAtMs, isBroken, deltaCount: before.deltaCount + 1 })
    }
    const isChanged = digest !== before?.digest || query.mode !== before.mode
    this.#store.put(query.name, held, isChanged ? now.result : undefined, stored)
  }
}

function recordOf(step: Step, before: Held | undefined): Pick<DeviceRecord, 'kind'> & Record<string, unknown> {
  if (step.kind === 'snapshot') {
    const { columns, rows } = step.result
    const record = { kind: 'snapshot', columns, rows: toColumnar(columns.length, rows) }
    return step.isResync ? { ...record, resync: true } : record
  }
  const { columns, added, removed } = step
  const width = columns.length
  return {
    kind: 'delta',
    base: before?.seq,
    columns,
    added: toColumnar(width, added),
    removed: toColumnar(width, removed),
  }
}

function headOf({ mode, logRemoved, sql }: ScheduledQuery, counter: number) {
  const table = wholeTable(sql)
  return { mode, counter, ...(logRemoved ? {} : { logRemoved }), ...(table === undefined ? {} : { table }) }
}
