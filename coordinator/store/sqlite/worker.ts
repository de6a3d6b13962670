// One thread with the store open: the process has one that writes and one that reads (store/threads.ts).
import { workerData } from 'node:worker_threads'
import { serveWorker } from '../../../lib/worker-rpc.ts'
import { takeSegment, type ArrivedSegment, type TakenSegment } from '../../sites/segment-intake.ts'
import type { Store } from '../store.ts'
import { openSqliteStore } from './open.ts'

/** A type, not an interface: worker-rpc wants an index signature. */
export type StoreMethods = { [K in keyof Store]: Store[K] } & {
  takeSegment(arrived: ArrivedSegment): Promise<TakenSegment>
}

const store = openSqliteStore((workerData as { path: string }).path)
const methods: StoreMethods = { ...store, takeSegment: (arrived) => takeSegment(arrived, store) }
serveWorker(methods)
