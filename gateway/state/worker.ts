// The state worker: folds what the journal worker committed into state.db, a bounded batch per transaction.
import { openDatabase, openReadOnly, type Database } from '../../lib/sqlite/open.ts'
import { migrationsFolder } from '../../lib/program-file.ts'
import { serveWorker } from '../../lib/worker-rpc.ts'
import { Fold, type FoldInput } from './fold.ts'
import { listTables, type TableSummary } from './read.ts'

const batchRecords = 1000

export interface StateMethods {
  open(paths: { statePath: string; journalPath: string }): number
  /** Folds everything the journal holds; returns the journal id that is now folded. */
  fold(): number
  tables(): TableSummary[]
  close(): void
  // An index signature, so that the type fits the generic of the RPC.
  [method: string]: (...args: never[]) => unknown
}

let state: Database.Database
let journal: Database.Database
let fold: Fold
let readBatch: Database.Statement

serveWorker<StateMethods>({
  open({ statePath, journalPath }) {
    state = openDatabase(statePath, { migrations: migrationsFolder('gateway', 'state') })
    journal = openReadOnly(journalPath)
    restartWhenJournalIsNew()
    fold = new Fold(state)
    readBatch = journal.prepare(
      `SELECT record.id, device.name AS device, epoch.epoch, seq, kind, observed_ms AS observedAtMs, received_ms AS receivedAtMs, body
       FROM record JOIN device ON device.id = record.device_id LEFT JOIN epoch ON epoch.id = record.epoch_id
       WHERE record.id > ? AND is_answer = 0 ORDER BY record.id LIMIT ${batchRecords}`,
    )
    return fold.journalId
  },
  fold() {
    for (;;) {
      const batch = readBatch.all(fold.journalId) as FoldInput[]
      if (batch.length > 0) fold.apply(batch)
      if (batch.length < batchRecords) return fold.journalId
    }
  },
  tables: () => listTables(state),
  close() {
    journal.close()
    state.close()
  },
})

/** A journal that was made anew counts its ids from 1: a cursor from the old one would skip everything. */
function restartWhenJournalIsNew(): void {
  const last = journal.prepare("SELECT seq FROM sqlite_sequence WHERE name = 'record'").get() as
    { seq: number } | undefined
  const cursor = state.prepare('SELECT journal_id FROM fold').get() as { journal_id: number }
  if ((last?.seq ?? 0) >= cursor.journal_id) return
  state.exec('UPDATE fold SET journal_id = 0; UPDATE latest SET journal_id = 0')
}
