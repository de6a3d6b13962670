// The store behind two threads, so that the event loop never waits for a statement: one writes, in order, the other
// reads what is committed. A caller that awaited a write finds it in what it reads next.
import { programFile } from '../../lib/program-file.ts'
import { startWorker } from '../../lib/worker-rpc.ts'
import type { ArrivedSegment, TakenSegment } from '../sites/segment-intake.ts'
import { openSqliteStore } from './sqlite/open.ts'
import type { StoreMethods } from './sqlite/worker.ts'
import type { Store } from './store.ts'

const threadOf: Record<Exclude<keyof Store, 'close'>, 'reader' | 'writer'> = {
  addSite: 'writer',
  sites: 'reader',
  contacts: 'reader',
  siteKeys: 'reader',
  saveContacts: 'writer',
  commitSegment: 'writer',
  newestSegment: 'reader',
  commandsAfter: 'writer',
  hosts: 'reader',
  host: 'reader',
  hostTables: 'reader',
  hostTable: 'reader',
  latestTables: 'reader',
  resolveTargets: 'reader',
  createQuery: 'writer',
  cancelQuery: 'writer',
  queries: 'reader',
  query: 'reader',
  queryTargets: 'reader',
  answersAfter: 'reader',
  overdueSites: 'reader',
  expireTargets: 'writer',
  addToken: 'writer',
  tokens: 'reader',
  tokenBySha256: 'reader',
  touchToken: 'writer',
  revokeToken: 'writer',
  auditAfter: 'reader',
  epochs: 'reader',
  resultLogPosition: 'reader',
  recordsAfter: 'reader',
  loggedTable: 'reader',
  saveResultLog: 'writer',
  prune: 'writer',
}

export interface StoreThreads {
  store: Store
  /** See sites/segment-intake.ts. */
  takeSegment(arrived: ArrivedSegment): Promise<TakenSegment>
  /** Resolves when a thread has ended by itself: then nothing can be stored any more. */
  readonly died: Promise<Error>
}

/** Opens or makes the store and brings it up to date, then starts the threads. Throws AppError, exit `storage`. */
export async function openStoreThreads(path: string): Promise<StoreThreads> {
  // Opened here once, so that whatever is wrong with it is said in words before a thread fails on it.
  await openSqliteStore(path).close()
  const start = (name: string) =>
    startWorker<StoreMethods>(programFile('tidegate-coordinator-store.js'), { name, workerData: { path } })
  const threads = { writer: start('store writer'), reader: start('store reader') }
  let isClosing = false
  const died = new Promise<Error>((resolve) => {
    for (const [name, { ended }] of Object.entries(threads)) {
      void ended.then((error) => {
        if (!isClosing) resolve(error ?? new Error(`the store's ${name} ended`))
      })
    }
  })
  const forwarded = Object.entries(threadOf).map(([method, thread]) => [
    method,
    (...args: unknown[]) => threads[thread].call(method as keyof Store, args as never),
  ])
  return {
    store: {
      ...(Object.fromEntries(forwarded) as Omit<Store, 'close'>),
      async close() {
        isClosing = true
        await Promise.all(
          Object.values(threads).map(async (thread) => {
            await thread.call('close', [])
            await thread.terminate()
          }),
        )
      },
    },
    takeSegment: (arrived) => threads.writer.call('takeSegment', [arrived]),
    died,
  }
}
