// Reading the journal from other threads, on a connection of their own. Every read ends its statement before it
// returns: a statement left open would hold back the WAL's checkpoint, and the file would grow.
import { openReadOnly } from '../../lib/sqlite/open.ts'
import type { DeviceId, Epoch } from '../../protocol/ids.ts'
import { readLedger, type DeviceLedger } from './ledger.ts'

/** One record as it lies in the journal; `body` is the whole record as JSON text, its head fields included. */
export interface StoredRecord {
  /** Grows with every record, never reused: a cursor. */
  id: number
  device: DeviceId
  /** Null, like seq, for a device that cannot keep a counter. */
  epoch: Epoch | null
  seq: number | null
  /** A protocol kind, one of a later version, or 'refused': the gateway's own note of a publish it could not read. */
  kind: string
  /** Of snapshots, deltas and events the query's name; of answers the query's id. */
  name: string | null
  isAnswer: boolean
  /** By this gateway's clock, as well as it can tell. */
  observedAtMs: number
  receivedAtMs: number
  clock: string | null
  body: string
}

export interface ReadOptions {
  only?: 'answers' | 'history'
  /** At most so many records; 1000 when left out. */
  limit?: number
  /** Stops after the record that reaches this many bytes of body; 8 MiB when left out. */
  maxBytes?: number
}

export interface JournalReader {
  /** Records with a higher id, ascending. Empty when there are none yet. */
  after(id: number, options?: ReadOptions): StoredRecord[]
  /** The newest id ever given, also when its record has been deleted; 0 for an empty journal. */
  newestId(): number
  ledger(device?: string): DeviceLedger[]
  close(): void
}

const columns = `r.id, d.name AS device, e.epoch, r.seq, r.kind, r.name, r.is_answer AS isAnswer, r.observed_ms AS observedAtMs,
  r.received_ms AS receivedAtMs, r.clock, r.body
  FROM record r JOIN device d ON d.id = r.device_id LEFT JOIN epoch e ON e.id = r.epoch_id`

/** Opens journal.db for reading; the journal worker must have opened it before. Throws AppError STORE_UNUSABLE. */
export function openJournalReader(path: string): JournalReader {
  const database = openReadOnly(path)
  const select = (where: string) =>
    database.prepare<[number, number], Omit<StoredRecord, 'isAnswer'> & { isAnswer: number }>(
      `SELECT ${columns} WHERE r.id > ? ${where} ORDER BY r.id LIMIT ?`,
    )
  const statements = {
    all: select(''),
    answers: select('AND r.is_answer = 1'),
    history: select('AND r.is_answer = 0'),
  }
  const newest = database.prepare<[], number>(`SELECT seq FROM sqlite_sequence WHERE name = 'record'`).pluck()
  return {
    after(id, { only, limit = 1000, maxBytes = 8 * 1_048_576 } = {}) {
      const records: StoredRecord[] = []
      let bytes = 0
      for (const row of statements[only ?? 'all'].iterate(id, limit)) {
        records.push({ ...row, isAnswer: row.isAnswer === 1 })
        bytes += row.body.length
        if (bytes >= maxBytes) break
      }
      return records
    },
    newestId: () => newest.get() ?? 0,
    ledger: (device) => readLedger(database, device),
    close: () => void database.close(),
  }
}
