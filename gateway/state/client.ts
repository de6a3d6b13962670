// The main thread's side of the site state: tells the worker when to fold, and runs SQL over the result.
import { join } from 'node:path'
import { programFile } from '../../lib/program-file.ts'
import { startWorker, type WorkerClient } from '../../lib/worker-rpc.ts'
import type { SqlLimits, SqlResult } from './ad-hoc-sql.ts'
import type { TableSummary } from './read.ts'
import { SqlClient } from './sql-client.ts'
import type { StateMethods } from './worker.ts'

export interface StateOptions {
  dataDir: string
  /** Folds that come sooner are put together: one write of a busy table instead of many. */
  foldIntervalMs?: number
  queryMemoryBytes?: number
}

export class StateClient {
  readonly #worker: WorkerClient<StateMethods>
  readonly #sql: SqlClient
  readonly #foldIntervalMs: number
  #foldedUpTo: number
  #running: Promise<number> | undefined
  #timer: NodeJS.Timeout | undefined
  #foldError: Error | undefined
  #listener: (foldedUpTo: number) => void = () => undefined

  private constructor(worker: WorkerClient<StateMethods>, sql: SqlClient, foldIntervalMs: number, foldedUpTo: number) {
    this.#worker = worker
    this.#sql = sql
    this.#foldIntervalMs = foldIntervalMs
    this.#foldedUpTo = foldedUpTo
  }

  /** Opens `<dataDir>/state.db` beside an existing `<dataDir>/journal.db` and folds what is waiting. */
  static async start({
    dataDir,
    foldIntervalMs = 1000,
    queryMemoryBytes = 256 * 1_048_576,
  }: StateOptions): Promise<StateClient> {
    const statePath = join(dataDir, 'state.db')
    const worker = startWorker<StateMethods>(programFile('tidegate-gateway-state.js'), { name: 'state' })
    const foldedUpTo = await worker.call('open', [{ statePath, journalPath: join(dataDir, 'journal.db') }])
    const client = new StateClient(
      worker,
      new SqlClient({ statePath, memoryBytes: queryMemoryBytes }),
      foldIntervalMs,
      foldedUpTo,
    )
    await client.catchUp()
    return client
  }

  /** Resolves when the worker has gone; with an error when it died. */
  get ended(): Promise<Error | undefined> {
    return this.#worker.ended
  }

  /** Journal id up to which every record is in state.db, durably. */
  get foldedUpTo(): number {
    return this.#foldedUpTo
  }

  /** Why the last fold failed (a full disk); undefined once one succeeded. Records stay in the journal meanwhile. */
  get foldError(): Error | undefined {
    return this.#foldError
  }

  onFolded(listener: (foldedUpTo: number) => void): void {
    this.#listener = listener
  }

  /** The journal has grown: fold soon. */
  advance(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.catchUp().catch((error: unknown) => (this.#foldError = error as Error))
    }, this.#foldIntervalMs)
  }

  /** Folds everything committed so far. Returns the journal id reached. */
  async catchUp(): Promise<number> {
    // A fold that already runs may have read the journal before the caller's records: run another after it.
    const previous = this.#running
    const run = (previous?.catch(() => undefined) ?? Promise.resolve()).then(() => this.#worker.call('fold', []))
    this.#running = run
    const reached = await run
    this.#foldError = undefined
    if (this.#running === run) this.#running = undefined
    if (reached > this.#foldedUpTo) {
      this.#foldedUpTo = reached
      this.#listener(reached)
    }
    return reached
  }

  /** One SELECT over the newest rows of all devices. Throws AppError as SqlClient.query does. */
  async query(sql: string, limits: SqlLimits & { timeoutMs: number }): Promise<SqlResult> {
    await this.catchUp()
    return this.#sql.query(sql, limits)
  }

  tables(): Promise<TableSummary[]> {
    return this.#worker.call('tables', [])
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer)
    await this.#sql.close()
    await this.#worker.call('close', []).catch(() => undefined)
    await this.#worker.terminate()
  }
}
