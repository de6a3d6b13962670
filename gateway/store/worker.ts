// The store's thread: the only writer of site.db. Reading the journal, compression and signing happen here too, away
// from the loop that acknowledges to devices.
import { serveWorker } from '../../lib/worker-rpc.ts'
import { storageError } from '../../lib/sqlite/open.ts'
import type { DeviceId } from '../../protocol/ids.ts'
import type { PresenceChange } from './presence.ts'
import { SiteStore, type PlantQuery, type StoreOptions } from './site-store.ts'

let opened: SiteStore | undefined
let path = 'site.db'

/** SQLite's errors leave here as one that names the file and the remedy. */
async function withStore<T>(run: (store: SiteStore) => T | Promise<T>): Promise<T> {
  if (opened === undefined) throw new Error('the store is not open')
  try {
    return await run(opened)
  } catch (error) {
    throw String((error as { code?: unknown }).code).startsWith('SQLITE_') ? storageError(path, error) : error
  }
}

const methods = {
  async open(options: StoreOptions) {
    path = `${options.dataDir}/site.db`
    opened = await SiteStore.open(options)
    return { chain: opened.chain, effects: opened.tick() }
  },
  presence: (changes: PresenceChange[]) => withStore((store) => store.presence(changes)),
  acceptCentre: (commands: { n: number; jws: string }[], cursor: number) =>
    withStore((store) => store.acceptCentre(commands, cursor)),
  plantQuery: (query: PlantQuery) => withStore((store) => store.plantQuery(query)),
  decide: (id: string, action: 'allow' | 'veto', by: string, reason?: string) =>
    withStore((store) => store.decide(id, action, by, reason)),
  take: (devices: DeviceId[]) => withStore((store) => store.take(devices)),
  acknowledged: (list: { commandId: string; device: DeviceId }[]) => withStore((store) => store.acknowledged(list)),
  absorbAnswers: () => withStore((store) => store.absorbAnswers()),
  tick: () => withStore((store) => store.tick()),
  /** The segment to send: the one that waits for its receipt, else a new one. */
  nextSegment: (targetBytes: number) =>
    withStore(async (store) => store.segments.pending() ?? (await store.segments.formNext(targetBytes, Date.now()))),
  oldSegment: (n: number) => withStore((store) => store.segments.pending(n)),
  receipt: (jws: string) => withStore((store) => store.receipt(jws)),
  trimmable: () => withStore((store) => store.trimmable()),
  backlog: (foldedUpTo: number) => withStore((store) => store.backlog(foldedUpTo)),
  commandCursor: () => withStore((store) => store.commandCursor()),
  ledger: (device?: string) => withStore((store) => store.ledger(device)),
  presenceList: () => withStore((store) => store.presenceList()),
  queries: (options: { limit: number }) => withStore((store) => store.queries(options)),
  queryCounts: () => withStore((store) => store.queryCounts()),
  query: (id: string) => withStore((store) => store.query(id)),
  answer: (id: string, device: string) => withStore((store) => store.answer(id, device)),
  audit: (options: { limit: number; beforeId?: number; subject?: string }) =>
    withStore((store) => store.audit(options)),
  verifyAudit: () => withStore((store) => store.verifyAudit()),
  close(): void {
    opened?.close()
    opened = undefined
  },
}

export type StoreMethods = typeof methods

serveWorker(methods)
