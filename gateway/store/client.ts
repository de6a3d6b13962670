// The main thread's side of the store. Remembers whether the last write reached the disk, for health.
import { AppError } from '../../lib/errors.ts'
import { programFile } from '../../lib/program-file.ts'
import { startWorker, type WorkerClient } from '../../lib/worker-rpc.ts'
import type { Epoch } from '../../protocol/ids.ts'
import type { DispatchStore } from '../dispatch/dispatcher.ts'
import type { SegmentStore } from '../uplink/sender.ts'
import type { Effects, StoreOptions } from './site-store.ts'
import type { StoreMethods } from './worker.ts'

type Result<K extends keyof StoreMethods> = Promise<Awaited<ReturnType<StoreMethods[K]>>>

/** Their success says nothing about whether the disk takes writes. */
const readOnly: ReadonlySet<string> = new Set<keyof StoreMethods>([
  'oldSegment',
  'trimmable',
  'backlog',
  'commandCursor',
  'ledger',
  'presenceList',
  'queries',
  'queryCounts',
  'query',
  'answer',
  'audit',
  'verifyAudit',
])

export class StoreClient implements DispatchStore, SegmentStore {
  readonly chain: Epoch
  /** What waited when the store was opened. */
  readonly initialEffects: Effects
  readonly #worker: WorkerClient<StoreMethods>
  #problem: AppError | undefined

  private constructor(worker: WorkerClient<StoreMethods>, opened: Awaited<ReturnType<StoreMethods['open']>>) {
    this.#worker = worker
    this.chain = opened.chain
    this.initialEffects = opened.effects
  }

  /** Starts the worker and opens site.db; journal.db and state.db must exist. Throws AppError. */
  static async start(options: StoreOptions): Promise<StoreClient> {
    const worker = startWorker<StoreMethods>(programFile('tidegate-gateway-store.js'), { name: 'store' })
    try {
      return new StoreClient(worker, await worker.call('open', [options]))
    } catch (error) {
      await worker.terminate()
      throw error
    }
  }

  /** Why site.db could not be used at the last write; undefined while all is well. */
  get problem(): AppError | undefined {
    return this.#problem
  }

  /** Resolves when the worker has gone; with an error when it died. */
  get ended(): Promise<Error | undefined> {
    return this.#worker.ended
  }

  async call<K extends keyof StoreMethods & string>(method: K, ...args: Parameters<StoreMethods[K]>): Result<K> {
    try {
      const result = await this.#worker.call(method, args)
      if (!readOnly.has(method)) this.#problem = undefined
      return result
    } catch (error) {
      if (error instanceof AppError && error.code === 'STORE_UNUSABLE') this.#problem = error
      throw error
    }
  }

  presence: DispatchStore['presence'] = (changes) => this.call('presence', changes)
  take: DispatchStore['take'] = (devices) => this.call('take', devices)
  acknowledged: DispatchStore['acknowledged'] = (list) => this.call('acknowledged', list)
  tick: DispatchStore['tick'] = () => this.call('tick')
  nextSegment: SegmentStore['nextSegment'] = (targetBytes) => this.call('nextSegment', targetBytes)
  oldSegment: SegmentStore['oldSegment'] = (n) => this.call('oldSegment', n)
  receipt: SegmentStore['receipt'] = (jws) => this.call('receipt', jws)

  async close(): Promise<void> {
    await this.#worker.call('close', []).catch(() => undefined)
    await this.#worker.terminate()
  }
}
