// The engine's worker thread: one Core, fed by the client in the main thread. Rows leave in batches while the statement
// runs; whether it is cancelled is read from shared memory, since no message arrives meanwhile.
import { workerData } from 'node:worker_threads'
import { serveWorker } from '../../lib/worker-rpc.ts'
import type { Cell } from '../../protocol/cells.ts'
import { Device } from '../sources/device.ts'
import type { AgentFacts, Table } from '../tables/define.ts'
import { Core } from './core.ts'
import type { Prepared, QueryColumn, QueryLimits, QueryOutcome } from './query.ts'

export interface EngineWorkerData {
  root: string
  memoryMaxBytes: number
  /** One Int32: the number of the last query that was cancelled. */
  cancelled: SharedArrayBuffer
}

/** A batch of rows of the query that is running, sent as event `rows`. */
export interface RowsEvent {
  rows: Cell[][]
  columns: readonly QueryColumn[]
}

export type EngineMethods = {
  ready(): void
  prepare(sql: string): Prepared
  query(
    number: number,
    sql: string,
    limits: QueryLimits,
    facts: AgentFacts,
  ): { outcome: QueryOutcome; memoryHeldBytes: number }
}

export async function serveEngine(tables: readonly Table[]): Promise<void> {
  const { root, memoryMaxBytes, cancelled } = workerData as EngineWorkerData
  const lastCancelled = new Int32Array(cancelled)
  const core = await Core.open({ tables, device: new Device(root), memoryMaxBytes })
  const emit = serveWorker<EngineMethods>({
    ready: () => undefined,
    prepare: (sql) => core.prepare(sql),
    query: (number, sql, limits, facts) => {
      const outcome = core.run(sql, {
        ...limits,
        facts,
        isCancelled: () => Atomics.load(lastCancelled, 0) === number,
        onRows: (rows, columns) => emit('rows', { rows, columns } satisfies RowsEvent),
      })
      return { outcome, memoryHeldBytes: core.memoryBytes }
    },
  })
}
