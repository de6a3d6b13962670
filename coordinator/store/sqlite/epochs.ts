// The ledger: for each epoch of each device, which numbers are here, which are named in a gap, and what the gateway
// said that it had.
import { SeqRanges, type SeqRange } from '../../../protocol/seq-ranges.ts'
import type { LedgerItem } from '../../../protocol/segments.ts'
import type { DeviceId, SiteId } from '../../../protocol/ids.ts'
import type { Database } from '../../../lib/sqlite/open.ts'
import type { EpochRecord, LostRange } from '../store.ts'

interface EpochRow {
  id: number
  host_id: number
  epoch: string
  received: string
  lost: string
  site_received: string | null
  site_reported_at_ms: number | null
}

interface HeldEpoch {
  id: number
  received: SeqRanges
  lost: LostRange[]
  site: { received: SeqRange[]; atMs: number } | undefined
}

/** More gaps than this in one epoch are not told apart any more: neighbours are joined, so the list stays small. */
const maxLostRanges = 10_000

export function epochTable(database: Database.Database) {
  const get = database.prepare<[number, string], EpochRow>('SELECT * FROM epoch WHERE host_id = ? AND epoch = ?')
  const insert = database.prepare<[number, string], { id: number }>(
    'INSERT INTO epoch (host_id, epoch) VALUES (?, ?) RETURNING id',
  )
  const save = database.prepare('UPDATE epoch SET received = ?, lost = ? WHERE id = ?')
  const saveSite = database.prepare('UPDATE epoch SET site_received = ?, site_reported_at_ms = ? WHERE id = ?')
  const page = database.prepare<
    Record<string, string | number | null>,
    EpochRow & { site_id: SiteId; device: DeviceId }
  >(`
    SELECT e.*, h.site_id, h.device FROM epoch e JOIN host h ON h.id = e.host_id
    WHERE e.id > @afterId AND (@site IS NULL OR h.site_id = @site) AND (@device IS NULL OR h.device = @device)
    ORDER BY e.id LIMIT @limit`)

  return {
    /** The ledger during one segment; `save` writes what changed. */
    begin() {
      const held = new Map<string, HeldEpoch>()
      const load = (hostId: number, epoch: string): HeldEpoch => {
        const key = `${hostId}\n${epoch}`
        const known = held.get(key)
        if (known) return known
        const row = get.get(hostId, epoch)
        const loaded: HeldEpoch = {
          id: row?.id ?? insert.get(hostId, epoch)!.id,
          received: new SeqRanges(row === undefined ? [] : (JSON.parse(row.received) as SeqRange[])),
          lost: row === undefined ? [] : (JSON.parse(row.lost) as LostRange[]),
          site: undefined,
        }
        held.set(key, loaded)
        return loaded
      }
      return {
        /** False when this record is here already. */
        receive: (hostId: number, epoch: string, seq: number) => load(hostId, epoch).received.add(seq),
        lose(hostId: number, epoch: string, range: LostRange): void {
          addLost(load(hostId, epoch).lost, range)
        },
        /** False when the item's ranges are no ranges. */
        siteReports(hostId: number, item: LedgerItem, atMs: number): boolean {
          let received: SeqRange[]
          try {
            received = new SeqRanges(item.received).toJSON()
          } catch {
            return false
          }
          const epoch = load(hostId, item.epoch)
          epoch.site = { received, atMs }
          for (const { from, to, reason } of item.lost) {
            if (Number.isSafeInteger(from) && from >= 1 && to >= from) addLost(epoch.lost, { from, to, reason })
          }
          return true
        },
        save(): void {
          for (const epoch of held.values()) {
            save.run(JSON.stringify(epoch.received), JSON.stringify(epoch.lost), epoch.id)
            if (epoch.site) saveSite.run(JSON.stringify(epoch.site.received), epoch.site.atMs, epoch.id)
          }
        },
      }
    },
    page: (filter: {
      site?: string | undefined
      device?: string | undefined
      afterId?: number | undefined
      limit: number
    }): EpochRecord[] =>
      page
        .all({
          afterId: filter.afterId ?? 0,
          site: filter.site ?? null,
          device: filter.device ?? null,
          limit: filter.limit,
        })
        .map((row) => ({
          id: row.id,
          site: row.site_id,
          device: row.device,
          epoch: row.epoch,
          received: JSON.parse(row.received) as SeqRange[],
          lost: JSON.parse(row.lost) as LostRange[],
          siteReceived: row.site_received === null ? null : (JSON.parse(row.site_received) as SeqRange[]),
          siteReportedAtMs: row.site_reported_at_ms,
        })),
  }
}

/** Adds a range to a sorted list unless one there covers it; joins it with neighbours of the same reason. */
export function addLost(list: LostRange[], range: LostRange): void {
  if (list.some(({ from, to }) => from <= range.from && to >= range.to)) return
  list.push(range)
  list.sort((a, b) => a.from - b.from)
  for (let index = list.length - 1; index > 0; index--) {
    const before = list[index - 1]
    const here = list[index]
    if (before === undefined || here === undefined) continue
    const touches = here.from <= before.to + 1
    if (touches && (here.reason === before.reason || list.length > maxLostRanges)) {
      before.to = Math.max(before.to, here.to)
      list.splice(index, 1)
    }
  }
}
