// What the journal can account for, per device and epoch, read from any connection. Received minus nothing: seqs stay
// in the ledger after their records have left for the centre.
import type { Database } from '../../lib/sqlite/open.ts'
import type { DeviceId, Epoch } from '../../protocol/ids.ts'
import { SeqRanges, type SeqRange } from '../../protocol/seq-ranges.ts'
import type { LostRange } from './epochs.ts'

export interface EpochLedger {
  epoch: Epoch
  received: SeqRange[]
  /** What the device said will never come, and why. A seq that came all the same is in `received` too. */
  lost: LostRange[]
  /** From 1 to the highest received: neither received nor lost. On its way, or a reason to ask. */
  missing: SeqRange[]
  firstReceivedAtMs: number
  lastReceivedAtMs: number
}

export interface DeviceLedger {
  device: DeviceId
  epochs: EpochLedger[]
  /** Records that came without epoch and seq. */
  unsequenced: number
  /** Publishes that could not be read; see the records of kind 'refused'. */
  refused: number
}

interface Row {
  name: string
  unsequenced: number
  refused: number
  epoch: string | null
  received: string
  lost: string
  first: number
  last: number
}

/** The ledger of one device or of all, devices by name, epochs oldest first. Empty for a device that never published. */
export function readLedger(database: Database.Database, device?: string): DeviceLedger[] {
  const rows = database
    .prepare<[string | null, string | null], Row>(
      `SELECT d.name, d.unsequenced, d.refused, e.epoch, e.received, e.lost,
              e.first_received_ms AS first, e.last_received_ms AS last
       FROM device d LEFT JOIN epoch e ON e.device_id = d.id
       WHERE ? IS NULL OR d.name = ? ORDER BY d.name, e.id`,
    )
    .all(device ?? null, device ?? null)
  const devices: DeviceLedger[] = []
  for (const row of rows) {
    let current = devices.at(-1)
    if (current?.device !== row.name) {
      current = { device: row.name as DeviceId, epochs: [], unsequenced: row.unsequenced, refused: row.refused }
      devices.push(current)
    }
    if (row.epoch !== null) current.epochs.push(epochLedger(row, row.epoch))
  }
  return devices
}

function epochLedger(row: Row, epoch: string): EpochLedger {
  const received = JSON.parse(row.received) as SeqRange[]
  const lost = JSON.parse(row.lost) as LostRange[]
  const accounted = new SeqRanges(received)
  const highest = accounted.highest ?? 0
  for (const { from, to } of lost) accounted.addRange(from, to)
  return {
    epoch: epoch as Epoch,
    received,
    lost,
    missing: accounted.missing(1, highest),
    firstReceivedAtMs: row.first,
    lastReceivedAtMs: row.last,
  }
}
