// The loss ledger: of each epoch of each device, what came, what went up with a receipt, what the device said is lost,
// and what is missing. The journal's ranges (received, lost, missing) beside the ranges of receipts kept here.
import { createHash } from 'node:crypto'
import type { Database } from '../../lib/sqlite/open.ts'
import type { LedgerItem } from '../../protocol/segments.ts'
import { SeqRanges, type SeqRange } from '../../protocol/seq-ranges.ts'
import type { DeviceLedger } from '../journal/ledger.ts'

export interface LedgerEntry {
  device: string
  epoch: string
  lastReceivedAtMs: number
  /** How many records are, or were, on this disk. */
  received: number
  /** How many of them the centre has given a receipt for. */
  receipted: number
  /** What the device said will never come. */
  lost: { from: number; to: number; reason: string }[]
  lostCount: number
  /** Seqs below the highest one seen that neither came nor were named lost. */
  missing: SeqRange[]
  missingCount: number
}

export interface LedgerLine {
  device: string
  epoch: string
  line: string
  hash: string
}

/** Of one epoch a ledger item carries at most this many ranges (protocol/segments.ts); the newest count. */
const maxRanges = 10_000

export function readLedger(site: Database.Database, journal: readonly DeviceLedger[]): LedgerEntry[] {
  const forwarded = site.prepare('SELECT ranges FROM forwarded WHERE device = ? AND epoch = ?')
  return journal.flatMap(({ device, epochs }) =>
    epochs.map((epoch) => {
      const receipts = forwarded.get(device, epoch.epoch) as { ranges: string } | undefined
      const lost = new SeqRanges(epoch.received)
      const received = lost.count
      for (const { from, to } of epoch.lost) lost.addRange(from, to)
      return {
        device,
        epoch: epoch.epoch,
        lastReceivedAtMs: epoch.lastReceivedAtMs,
        received,
        receipted: receipts === undefined ? 0 : new SeqRanges(JSON.parse(receipts.ranges) as SeqRange[]).count,
        lost: epoch.lost,
        lostCount: lost.count - received,
        missing: epoch.missing,
        missingCount: epoch.missing.reduce((sum, [from, to]) => sum + to - from + 1, 0),
      }
    }),
  )
}

/** `received 120, at the centre 118, lost 0, missing 0` over all entries. */
export function summarizeLedger(entries: readonly LedgerEntry[]): string {
  const sum = (pick: (entry: LedgerEntry) => number) => entries.reduce((total, entry) => total + pick(entry), 0)
  return [
    `received ${sum((entry) => entry.received)}`,
    `at the centre ${sum((entry) => entry.receipted)}`,
    `lost ${sum((entry) => entry.lostCount)}`,
    `missing ${sum((entry) => entry.missingCount)}`,
  ].join(', ')
}

/** Segment lines of the epochs that changed since the centre was last told, at most `limit`. */
export function changedLedgerLines(
  site: Database.Database,
  journal: readonly DeviceLedger[],
  limit: number,
): LedgerLine[] {
  const told = site.prepare('SELECT line_hash FROM ledger_told WHERE device = ? AND epoch = ?').pluck()
  const lines: LedgerLine[] = []
  for (const { device, epochs } of journal) {
    for (const { epoch, received, lost } of epochs) {
      const item: LedgerItem = {
        t: 'ledger',
        device,
        epoch,
        received: received.slice(-maxRanges),
        lost: lost.slice(-maxRanges).map(({ from, to, reason }) => ({ from, to, reason })),
      }
      const line = JSON.stringify(item)
      const hash = createHash('sha256').update(line).digest('base64')
      if (told.get(device, epoch) === hash) continue
      lines.push({ device, epoch, line, hash })
      if (lines.length >= limit) return lines
    }
  }
  return lines
}

export function markLedgerTold(site: Database.Database, lines: readonly LedgerLine[]): void {
  const set = site.prepare(
    'INSERT INTO ledger_told (device, epoch, line_hash) VALUES (?, ?, ?) ON CONFLICT (device, epoch) DO UPDATE SET line_hash = excluded.line_hash',
  )
  for (const { device, epoch, hash } of lines) set.run(device, epoch, hash)
}
