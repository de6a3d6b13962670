// The engine as the agent's main thread sees it: one worker thread, one query at a time, in order. Whatever a statement or
// a table's reader does, a query ends within its time limit plus the grace period: a worker that does not yield is
// ended and the next query gets a new one.
import { AppError } from '../../lib/errors.ts'
import { programFile } from '../../lib/program-file.ts'
import { formatBytes, formatDuration } from '../../lib/units.ts'
import { startWorker, type WorkerClient } from '../../lib/worker-rpc.ts'
import type { Cell } from '../../protocol/cells.ts'
import type { AgentFacts } from '../tables/define.ts'
import { defaultLimits, type Prepared, type QueryColumn, type QueryLimits, type QueryResult } from './query.ts'
import type { EngineMethods, EngineWorkerData, RowsEvent } from './serve.ts'

export interface EngineOptions {
  /** For SQLite, and as much again for the worker's JavaScript heap. */
  memoryMaxBytes?: number
  /** How long a worker may go on after its time limit or a cancel before it is ended. */
  graceMs?: number
  /** Root of the device's file system. */
  root?: string
  /** The worker's program; tests have tables of their own. */
  workerFile?: URL
}

export interface QueryOptions extends Partial<QueryLimits> {
  facts: AgentFacts
  /** Another limit than the engine's; costs a new worker, some 50 ms on a PC. */
  memoryMaxBytes?: number
  /** Takes rows in batches while the query runs; the result then has none. A failed query may have given some. What it
   * throws ends the query and is what it rejects with. */
  onRows?(rows: Cell[][], columns: readonly QueryColumn[]): void
  signal?: AbortSignal
}

const defaultMemoryMaxBytes = 64 * 1_048_576
// WebAssembly memory never shrinks: past this an idle worker is replaced instead of kept.
const memoryKeptBytes = 32 * 1_048_576

interface Running {
  client: WorkerClient<EngineMethods>
  memoryMaxBytes: number
}

export class Engine {
  readonly #options: Required<EngineOptions>
  readonly #cancelled = new Int32Array(new SharedArrayBuffer(4))
  #running: Running | undefined
  #last: Promise<unknown> = Promise.resolve()
  #number = 0
  #onRows: ((event: RowsEvent) => void) | undefined
  #isClosed = false

  constructor(options: EngineOptions = {}) {
    this.#options = {
      memoryMaxBytes: defaultMemoryMaxBytes,
      graceMs: 2000,
      root: '/',
      workerFile: programFile('tidegate-agent-engine.js'),
      ...options,
    }
  }

  /**
   * Runs one SELECT after all that were asked before. The time limit starts when it runs.
   * Rejects with AppError QUERY_INVALID, QUERY_TIMEOUT, QUERY_CANCELLED, QUERY_MEMORY, TABLE_FAILED or ENGINE_DIED.
   */
  query(sql: string, options: QueryOptions): Promise<QueryResult> {
    return this.#inTurn(options.signal, () => this.#query(sql, options))
  }

  /** Checks one SELECT without running it. Rejects with AppError QUERY_INVALID or ENGINE_DIED. */
  prepare(sql: string): Promise<Prepared> {
    return this.#inTurn(undefined, async () => {
      const running = await this.#start(this.#options.memoryMaxBytes)
      const timer = setTimeout(() => void running.client.terminate(), this.#options.graceMs)
      try {
        return await running.client.call('prepare', [sql])
      } catch (error) {
        throw await this.#explain(error, running)
      } finally {
        clearTimeout(timer)
      }
    })
  }

  /** Ends the worker; queries still waiting reject with ENGINE_DIED. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.#drop()
  }

  #inTurn<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      let isStarted = false
      // A query that waits for its turn is cancelled at once; one that runs, by #query.
      const abort = () => {
        if (!isStarted) reject(cancelled())
      }
      signal?.addEventListener('abort', abort, { once: true })
      const turn = this.#last.then(() => {
        if (signal?.aborted) throw cancelled()
        isStarted = true
        return work()
      })
      this.#last = turn.catch(() => undefined)
      turn.then(resolve, reject).finally(() => signal?.removeEventListener('abort', abort))
    })
  }

  async #query(sql: string, options: QueryOptions): Promise<QueryResult> {
    const limits = {
      timeoutMs: options.timeoutMs ?? defaultLimits.timeoutMs,
      maxRows: options.maxRows ?? defaultLimits.maxRows,
      maxBytes: options.maxBytes ?? defaultLimits.maxBytes,
    }
    const running = await this.#start(options.memoryMaxBytes ?? this.#options.memoryMaxBytes)
    const number = ++this.#number
    let ended: AppError | undefined
    const end = (reason: AppError) => {
      ended ??= reason
      void running.client.terminate()
    }
    const timers = [setTimeout(() => end(timedOut(limits.timeoutMs)), limits.timeoutMs + this.#options.graceMs)]
    const abort = () => {
      Atomics.store(this.#cancelled, 0, number)
      timers.push(setTimeout(() => end(cancelled()), this.#options.graceMs))
    }
    options.signal?.addEventListener('abort', abort, { once: true })
    if (options.signal?.aborted) abort()
    const rows: Cell[][] = []
    const taker: { error?: Error } = {}
    this.#onRows = (event) => {
      try {
        if (options.onRows) options.onRows(event.rows, event.columns)
        else for (const row of event.rows) rows.push(row)
      } catch (error) {
        taker.error ??= error instanceof Error ? error : new Error(String(error))
        abort()
      }
    }
    try {
      const { outcome, memoryHeldBytes } = await running.client.call('query', [number, sql, limits, options.facts])
      if (memoryHeldBytes > memoryKeptBytes) await this.#drop()
      if (taker.error === undefined) return { ...outcome, rows }
    } catch (error) {
      const reason = await this.#explain(error, running)
      if (taker.error === undefined) throw ended ?? reason
    } finally {
      this.#onRows = undefined
      options.signal?.removeEventListener('abort', abort)
      for (const timer of timers) clearTimeout(timer)
    }
    throw taker.error
  }

  async #start(memoryMaxBytes: number): Promise<Running> {
    if (this.#isClosed) throw closed()
    if (this.#running?.memoryMaxBytes === memoryMaxBytes) return this.#running
    await this.#drop()
    if (this.#isClosed) throw closed()
    const { workerFile, root } = this.#options
    const client = startWorker<EngineMethods>(workerFile, {
      name: 'engine',
      execArgv: [],
      workerData: { root, memoryMaxBytes, cancelled: this.#cancelled.buffer } satisfies EngineWorkerData,
      resourceLimits: { maxOldGenerationSizeMb: Math.ceil(memoryMaxBytes / 1_048_576), stackSizeMb: 4 },
    })
    client.on('rows', (event) => this.#onRows?.(event as RowsEvent))
    const running = { client, memoryMaxBytes }
    this.#running = running
    void client.ended.then(() => {
      if (this.#running === running) this.#running = undefined
    })
    try {
      await client.call('ready', [])
    } catch (error) {
      throw await this.#explain(error, running)
    }
    return running
  }

  async #drop(): Promise<void> {
    const running = this.#running
    this.#running = undefined
    await running?.client.terminate()
  }

  /** What a failed call means for the caller; a worker that is not sound any more is dropped. */
  async #explain(error: unknown, { client, memoryMaxBytes }: Running): Promise<AppError> {
    if (!(error instanceof AppError)) return died((error as Error).message, error)
    if (error.code === 'QUERY_INVALID' || error.code === 'TABLE_FAILED') return error
    await this.#drop()
    if (error.code !== 'WORKER_ENDED') return error
    const cause = (await client.ended) as NodeJS.ErrnoException | undefined
    if (cause?.code === 'ERR_WORKER_OUT_OF_MEMORY') {
      return new AppError('QUERY_MEMORY', `the query needs more than ${formatBytes(memoryMaxBytes)} of memory`, {
        hint: 'narrow it with a condition, or allow more memory',
      })
    }
    return died(cause?.message ?? error.message, cause)
  }
}

function closed(): AppError {
  return new AppError('ENGINE_DIED', 'the SQL engine is closed')
}

function cancelled(): AppError {
  return new AppError('QUERY_CANCELLED', 'the query was cancelled')
}

function timedOut(timeoutMs: number): AppError {
  return new AppError('QUERY_TIMEOUT', `the query ran longer than ${formatDuration(timeoutMs)} and did not yield`, {
    hint: 'narrow it with a condition on an indexed column, or allow more time',
  })
}

function died(reason: string, cause: unknown): AppError {
  return new AppError('ENGINE_DIED', `the SQL engine ended: ${reason}`, { cause })
}
