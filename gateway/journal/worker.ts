// The journal's thread: the only writer of journal.db. The broker's event loop never waits for a statement of it.
import { serveWorker } from '../../lib/worker-rpc.ts'
import { packOutcomes, unpackBatch, type PackedBatch, type PackedOutcomes } from './batch.ts'
import { Journal, type JournalOptions, type TrimRequest } from './journal.ts'

let journal: Journal | undefined

function open(): Journal {
  if (journal === undefined) throw new Error('the journal is not open')
  return journal
}

const methods = {
  open(options: Pick<JournalOptions, 'path' | 'maxBytes' | 'reserveBytes'>): void {
    journal = new Journal(options)
  },
  commit(batch: PackedBatch): PackedOutcomes {
    const { outcomes, committed } = open().commit(unpackBatch(batch))
    return packOutcomes(outcomes, committed)
  },
  trimStep: (request: TrimRequest) => open().trimStep(request),
  ledger: (device: string | undefined) => open().ledger(device),
  stats: () => open().stats(),
  close(): void {
    journal?.close()
    journal = undefined
  },
}

export type JournalMethods = typeof methods

serveWorker(methods)
