// The sum for one epoch: every number that was given out is here, named in a gap, or missing.
import type { EpochLedger, LedgerPage } from '../protocol/api.ts'
import { SeqRanges } from '../protocol/seq-ranges.ts'
import type { EpochRecord } from './store/store.ts'

/** Ranges shown at most per epoch. */
const maxShownRanges = 100

export function accountFor(epoch: EpochRecord): EpochLedger {
  const received = new SeqRanges(epoch.received)
  const accounted = new SeqRanges(epoch.received)
  for (const { from, to } of epoch.lost) accounted.addRange(from, to)
  const site = epoch.siteReceived === null ? undefined : new SeqRanges(epoch.siteReceived)
  const sent = Math.max(accounted.highest ?? 0, site?.highest ?? 0)
  const missing = accounted.missing(1, sent)
  const count = (ranges: readonly (readonly [number, number])[]) =>
    ranges.reduce((sum, [from, to]) => sum + to - from + 1, 0)
  return {
    host: `${epoch.device}.${epoch.site}`,
    site: epoch.site,
    device: epoch.device,
    epoch: epoch.epoch,
    sent,
    atCentre: received.count,
    lost: accounted.count - received.count,
    missing: count(missing),
    missingRanges: missing.slice(0, maxShownRanges),
    ...(site === undefined ? {} : { atSite: site.count }),
    ...(epoch.siteReportedAtMs === null ? {} : { siteReportedAtMs: epoch.siteReportedAtMs }),
  }
}

export function addUp(totals: LedgerPage['totals'], epoch: EpochLedger): void {
  totals.sent += epoch.sent
  totals.atCentre += epoch.atCentre
  totals.lost += epoch.lost
  totals.missing += epoch.missing
}
