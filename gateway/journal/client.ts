// The broker's side of the journal. While one batch is being committed, everything that arrives becomes the next one:
// group commit without a timer, small when little comes and large when the disk is slow.
import { AppError } from '../../lib/errors.ts'
import { programFile } from '../../lib/program-file.ts'
import { startWorker } from '../../lib/worker-rpc.ts'
import type { DeviceId } from '../../protocol/ids.ts'
import type { EnvelopeEncoding } from '../../protocol/records.ts'
import { packBatch, unpackOutcomes, type Committed, type Outcome, type Publish } from './batch.ts'
import type { JournalStats, TrimRequest } from './journal.ts'
import type { DeviceLedger } from './ledger.ts'
import type { JournalMethods } from './worker.ts'

export type { Committed, Outcome } from './batch.ts'
export type { JournalStats, TrimRequest } from './journal.ts'
export type { DeviceLedger } from './ledger.ts'

export interface JournalClient {
  /**
   * Stores a publish; resolves when it is fsynced, or refused for good. Rejects with AppError STORE_UNUSABLE when the
   * disk did not take it and JOURNAL_BUSY past maxWaitingBytes: the sender must keep it.
   */
  submit(device: DeviceId, encoding: EnvelopeEncoding, payload: Uint8Array): Promise<Outcome>
  /** Payload bytes that are submitted and not yet committed. */
  readonly waitingBytes: number
  /** Half of what may wait is waiting: whoever reads from devices should stop until onRelief. */
  readonly isCongested: boolean
  onRelief(listener: () => void): void
  /** After each batch that stored something. */
  onCommitted(listener: (committed: Committed) => void): void
  /** Called with the error when a commit fails and with undefined when one succeeds again. */
  onStorage(listener: (error: Error | undefined) => void): void
  /** Deletes records that are no longer needed, a few at a time between batches; resolves with how many. */
  trim(request: TrimRequest): Promise<number>
  ledger(options?: { device?: string }): Promise<DeviceLedger[]>
  stats(): Promise<JournalStats>
  /** Commits what waits, then closes the database. */
  close(): Promise<void>
  /** Resolves when the worker has gone; with an error when it died. */
  readonly ended: Promise<Error | undefined>
}

export interface JournalClientOptions {
  path: string
  /** The database file grows no further than this. */
  maxBytes?: number
  /** Space kept back so that a full disk can still be emptied: more than the WAL ever has; 16 MiB when left out. */
  reserveBytes?: number
  /** Submitted and not yet committed, at most; 64 MiB when left out. */
  maxWaitingBytes?: number
}

/** What one transaction may hold: its replies leave together, so more would only make the first wait. */
const maxBatchCount = 1024
const maxBatchBytes = 4 * 1_048_576

interface Waiting extends Publish {
  resolve(outcome: Outcome): void
  reject(error: Error): void
}

/** Starts the journal's thread and opens the database. Throws AppError, exit `storage`. */
export async function startJournal(options: JournalClientOptions): Promise<JournalClient> {
  const { maxWaitingBytes = 64 * 1_048_576, ...open } = options
  const worker = startWorker<JournalMethods>(programFile('tidegate-gateway-journal.js'), { name: 'journal' })
  try {
    await worker.call('open', [open])
  } catch (error) {
    await worker.terminate()
    throw error
  }

  let waiting: Waiting[] = []
  let waitingBytes = 0
  let committing: Promise<void> | undefined
  let closing: Promise<void> | undefined
  let isFailing = false
  let wasCongested = false
  const relief: (() => void)[] = []
  const committedListeners: ((committed: Committed) => void)[] = []
  const storageListeners: ((error: Error | undefined) => void)[] = []
  const isCongested = () => waitingBytes > maxWaitingBytes / 2

  /** Takes the oldest of what waits, up to the limits of a batch. */
  function nextBatch(): { batch: Waiting[]; bytes: number } {
    let bytes = 0
    let count = 0
    for (const { payload } of waiting) {
      if (count === maxBatchCount || (count > 0 && bytes + payload.byteLength > maxBatchBytes)) break
      bytes += payload.byteLength
      count++
    }
    const batch = count === waiting.length ? waiting : waiting.slice(0, count)
    waiting = count === waiting.length ? [] : waiting.slice(count)
    return { batch, bytes }
  }

  async function commitNext(): Promise<void> {
    const { batch, bytes } = nextBatch()
    let doneBytes = bytes
    try {
      const packed = packBatch(batch, bytes)
      const reply = await worker.call('commit', [packed], [packed.bytes.buffer])
      const outcomes = unpackOutcomes(reply)
      const { committed } = reply
      if (outcomes.length < batch.length) {
        const rest = batch.slice(outcomes.length)
        waiting = [...rest, ...waiting]
        doneBytes -= rest.reduce((sum, { payload }) => sum + payload.byteLength, 0)
      }
      for (const [index, outcome] of outcomes.entries()) batch[index]?.resolve(outcome)
      if (committed.stored > 0) for (const listener of committedListeners) listener(committed)
      setFailing(undefined)
    } catch (error) {
      for (const { reject } of batch) reject(error as Error)
      setFailing(error as Error)
    }
    waitingBytes -= doneBytes
  }

  async function commitAll(): Promise<void> {
    while (waiting.length > 0) {
      await commitNext()
      if (wasCongested && !isCongested()) {
        wasCongested = false
        for (const listener of relief) listener()
      }
    }
    committing = undefined
  }

  function setFailing(error: Error | undefined): void {
    if (isFailing !== (error !== undefined)) for (const listener of storageListeners) listener(error)
    isFailing = error !== undefined
  }

  async function close(): Promise<void> {
    await committing
    await worker.call('close', [])
    await worker.terminate()
  }

  return {
    submit(device, encoding, payload) {
      if (waitingBytes + payload.byteLength > maxWaitingBytes || closing !== undefined) {
        const why = closing !== undefined ? 'is closing' : `has ${waitingBytes} bytes waiting for the disk`
        return Promise.reject(new AppError('JOURNAL_BUSY', `the journal ${why}`, { exit: 'storage' }))
      }
      return new Promise((resolve, reject) => {
        waiting.push({ device, encoding, payload, resolve, reject })
        waitingBytes += payload.byteLength
        wasCongested ||= isCongested()
        // All that this turn of the event loop reads from sockets goes into the first batch.
        committing ??= new Promise<void>((next) => setImmediate(next)).then(commitAll)
      })
    },
    get waitingBytes() {
      return waitingBytes
    },
    get isCongested() {
      return isCongested()
    },
    onRelief: (listener) => void relief.push(listener),
    onCommitted: (listener) => void committedListeners.push(listener),
    onStorage: (listener) => void storageListeners.push(listener),
    async trim(request) {
      let deleted = 0
      for (;;) {
        const count = await worker.call('trimStep', [request])
        if (count === 0) return deleted
        deleted += count
      }
    },
    ledger: ({ device } = {}) => worker.call('ledger', [device]),
    stats: () => worker.call('stats', []),
    close: () => (closing ??= close()),
    ended: worker.ended,
  }
}
