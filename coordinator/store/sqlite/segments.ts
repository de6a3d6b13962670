// Commit of one segment: the check of its place in the chain and everything that is in it, within the caller's one
// transaction. A receipt may be signed only after that transaction is on disk.
import type { DeviceId, QueryId, SiteId } from '../../../protocol/ids.ts'
import { isKnownRecord } from '../../../protocol/records.ts'
import type { DecodedSegment, RecordItem, SegmentItem } from '../../../protocol/segments.ts'
import type { Database } from '../../../lib/sqlite/open.ts'
import type { CommitOutcome } from '../store.ts'
import type { epochTable } from './epochs.ts'
import type { hostTables } from './hosts.ts'
import type { queryTables } from './queries.ts'
import type { latestTables } from './tables.ts'

export interface SegmentParts {
  hosts: ReturnType<typeof hostTables>
  epochs: ReturnType<typeof epochTable>
  tables: ReturnType<typeof latestTables>
  queries: ReturnType<typeof queryTables>
}

export function segmentTables(database: Database.Database, { hosts, epochs, tables, queries }: SegmentParts) {
  const getChain = database.prepare<[string, string], { last_n: number; last_sha256: string }>(
    'SELECT last_n, last_sha256 FROM chain WHERE site_id = ? AND chain = ?',
  )
  const putChain = database.prepare(`
    INSERT INTO chain (site_id, chain, last_n, last_sha256, started_at_ms, last_at_ms) VALUES (@site, @chain, @n, @sha256, @atMs, @atMs)
    ON CONFLICT (site_id, chain) DO UPDATE SET last_n = excluded.last_n, last_sha256 = excluded.last_sha256, last_at_ms = excluded.last_at_ms`)
  const getSegment = database.prepare<[string, string, number], { sha256: string }>(
    'SELECT sha256 FROM segment WHERE site_id = ? AND chain = ? AND n = ?',
  )
  const putSegment = database.prepare(`
    INSERT INTO segment (site_id, chain, n, sha256, lane, items, committed_at_ms) VALUES (@site, @chain, @n, @sha256, @lane, @items, @atMs)`)
  const countOnSite = database.prepare(`
    UPDATE site SET segments = segments + 1, last_segment_at_ms = @atMs, unknown_items = unknown_items + @unknown,
      duplicate_records = duplicate_records + @duplicates, unfolded_deltas = unfolded_deltas + @unfolded WHERE id = @site`)
  const putRecord = database.prepare(`
    INSERT INTO record (host_id, epoch, seq, kind, name, observed_at_ms, received_at_ms, committed_at_ms, body)
    VALUES (@hostId, @epoch, @seq, @kind, @name, @observedAtMs, @receivedAtMs, @committedAtMs, @body)`)

  return {
    newest(site: string, chain: string) {
      const row = getChain.get(site, chain)
      return row && { n: row.last_n, sha256: row.last_sha256 }
    },
    commit({ header, items, unknownItems, sha256 }: DecodedSegment, atMs: number): CommitOutcome {
      const { site, chain, n } = header
      const last = getChain.get(site, chain)
      if (last !== undefined && n <= last.last_n) {
        if (getSegment.get(site, chain, n)?.sha256 === sha256) return { kind: 'repeat', n, sha256 }
        return { kind: 'out-of-order', expected: last.last_n + 1, expectedPrev: last.last_sha256 }
      }
      if (n !== (last?.last_n ?? 0) + 1 || header.prev !== (last?.last_sha256 ?? null)) {
        return { kind: 'out-of-order', expected: (last?.last_n ?? 0) + 1, expectedPrev: last?.last_sha256 ?? null }
      }
      const counts = applyItems(site, items, atMs)
      putSegment.run({ site, chain, n, sha256, lane: header.lane, items: header.items, atMs })
      putChain.run({ site, chain, n, sha256, atMs })
      countOnSite.run({
        site,
        atMs,
        unknown: unknownItems + counts.unknown,
        duplicates: counts.duplicates,
        unfolded: counts.unfolded,
      })
      return {
        kind: 'committed',
        n,
        sha256,
        newRecords: counts.records,
        queries: [...counts.queries],
        isNewChain: last === undefined,
      }
    },
  }

  function applyItems(site: SiteId, items: readonly SegmentItem[], committedAtMs: number) {
    const ledger = epochs.begin()
    const fold = tables.beginFold()
    const hostIds = new Map<string, number>()
    const lastSeen = new Map<number, number>()
    const counts = { records: 0, duplicates: 0, unfolded: 0, unknown: 0, queries: new Set<QueryId>() }

    /** What is said of a device is not always a sign that it lives. */
    const hostOf = (device: DeviceId, atMs: number): number => {
      const id = hostIds.get(device) ?? hosts.ensure({ site, device }, atMs)
      hostIds.set(device, id)
      return id
    }
    const livingHost = (device: DeviceId, seenAtMs: number): number => {
      const id = hostOf(device, seenAtMs)
      lastSeen.set(id, Math.max(lastSeen.get(id) ?? 0, seenAtMs))
      return id
    }

    for (const item of items) {
      switch (item.t) {
        case 'record':
          applyRecord(item)
          break
        case 'table':
          tables.putAhead(livingHost(item.device, item.receivedAtMs), item)
          break
        case 'device':
          hosts.setPresence(livingHost(item.device, item.atMs), item.state, item.atMs)
          break
        case 'ledger':
          if (!ledger.siteReports(hostOf(item.device, committedAtMs), item, committedAtMs)) counts.unknown++
          break
        case 'query': {
          const report = { state: item.state, atMs: item.atMs, reason: item.reason ?? null }
          const isOurs =
            item.device === undefined
              ? queries.reportSite(item.queryId, site, report)
              : queries.reportHost(item.queryId, site, hostOf(item.device, item.atMs), report)
          if (isOurs) counts.queries.add(item.queryId)
          break
        }
      }
    }
    ledger.save()
    fold.save()
    for (const [id, atMs] of lastSeen) hosts.seen(id, atMs)
    return counts

    function applyRecord(item: RecordItem): void {
      const { record, receivedAtMs } = item
      const hostId = livingHost(item.device, receivedAtMs)
      const epoch = item.epoch ?? null
      const seq = record.seq ?? null
      if (epoch !== null && seq !== null && !ledger.receive(hostId, epoch, seq)) {
        counts.duplicates++
        return
      }
      counts.records++
      const observedAtMs = item.observedAtMs ?? receivedAtMs
      if (!isKnownRecord(record)) {
        counts.unknown++
      } else if (record.kind === 'snapshot' || record.kind === 'delta') {
        if (!fold.apply(hostId, record, { epoch, seq, receivedAtMs }, observedAtMs)) counts.unfolded++
      } else if (record.kind === 'answer') {
        // Answers live with their query, not in the history.
        if (queries.answer(site, hostId, record, { observedAtMs, receivedAtMs })) counts.queries.add(record.queryId)
        return
      } else if (record.kind === 'status') {
        if (record.facts) hosts.mergeFacts(hostId, record.facts)
      } else if (record.kind === 'gap' && epoch !== null) {
        ledger.lose(hostId, epoch, { from: record.from, to: record.to, reason: record.reason })
      }
      putRecord.run({
        hostId,
        epoch,
        seq,
        kind: record.kind,
        name: 'name' in record && typeof record.name === 'string' ? record.name : null,
        observedAtMs,
        receivedAtMs,
        committedAtMs,
        body: JSON.stringify(record),
      })
    }
  }
}
