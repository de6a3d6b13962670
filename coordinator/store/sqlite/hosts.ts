// Hosts: who has been seen at which site, and what their status records say about them.
import type { DeviceId, SiteId } from '../../../protocol/ids.ts'
import type { Database } from '../../../lib/sqlite/open.ts'
import type { HostKey, HostRecord, ResolvedTargets, TargetSelection } from '../store.ts'

interface HostRow {
  id: number
  site_id: SiteId
  device: DeviceId
  first_seen_at_ms: number
  last_seen_at_ms: number
  presence: 'here' | 'gone' | null
  presence_at_ms: number | null
  platform: string | null
  version: string | null
  facts: string
  labels: string
}

export interface HostFilter {
  site?: string | undefined
  label?: string | undefined
  search?: string | undefined
  after?: HostKey | undefined
  limit: number
}

const columns = `h.*, (SELECT json_group_array(label) FROM host_label l WHERE l.host_id = h.id) AS labels`

/** More than this of facts is not kept: they describe a device, they are not a place to store data. */
const maxFactsBytes = 65_536
const maxLabels = 100

export function hostTables(database: Database.Database) {
  const insert = database.prepare<HostKey & { atMs: number }, { id: number }>(
    `INSERT INTO host (site_id, device, first_seen_at_ms, last_seen_at_ms, search)
     VALUES (@site, @device, @atMs, @atMs, @device || '.' || @site) RETURNING id`,
  )
  const idOf = database.prepare<[string, string], { id: number }>(
    'SELECT id FROM host WHERE site_id = ? AND device = ?',
  )
  const seen = database.prepare('UPDATE host SET last_seen_at_ms = max(last_seen_at_ms, ?) WHERE id = ?')
  const presence = database.prepare(
    `UPDATE host SET presence = @state, presence_at_ms = @atMs
     WHERE id = @id AND (presence_at_ms IS NULL OR presence_at_ms <= @atMs)`,
  )
  const factsOf = database.prepare<[number], { facts: string; device: string; site_id: string }>(
    'SELECT facts, device, site_id FROM host WHERE id = ?',
  )
  const setFacts = database.prepare('UPDATE host SET facts = ?, platform = ?, version = ?, search = ? WHERE id = ?')
  const dropLabels = database.prepare('DELETE FROM host_label WHERE host_id = ?')
  const addLabel = database.prepare('INSERT OR IGNORE INTO host_label (label, host_id) VALUES (?, ?)')
  const one = database.prepare<[string, string], HostRow>(
    `SELECT ${columns} FROM host h WHERE h.site_id = ? AND h.device = ?`,
  )
  const page = database.prepare<Record<string, string | number | null>, HostRow>(`
    SELECT ${columns} FROM host h
    WHERE (h.site_id, h.device) > (@afterSite, @afterDevice)
      AND (@site IS NULL OR h.site_id = @site)
      AND (@label IS NULL OR EXISTS (SELECT 1 FROM host_label l WHERE l.host_id = h.id AND l.label = @label))
      AND (@search IS NULL OR instr(h.search, @search) > 0)
    ORDER BY h.site_id, h.device LIMIT @limit`)
  const selected = database.prepare<Record<string, string | number>, { site_id: SiteId; device: DeviceId }>(`
    SELECT h.site_id, h.device FROM host h
    WHERE (@narrowed = 1
        AND (@sites = '[]' OR h.site_id IN (SELECT value FROM json_each(@sites)))
        AND (@labels = '[]' OR EXISTS (SELECT 1 FROM host_label l WHERE l.host_id = h.id AND l.label IN (SELECT value FROM json_each(@labels)))))
      OR h.device IN (SELECT value FROM json_each(@hosts))
      OR h.device || '.' || h.site_id IN (SELECT value FROM json_each(@hosts))
    ORDER BY h.site_id, h.device`)
  const knownSites = database.prepare<[], { id: SiteId; hosts: number }>(
    'SELECT id, (SELECT count(*) FROM host WHERE site_id = site.id) AS hosts FROM site ORDER BY id',
  )
  const labelExists = database.prepare<[string], { one: 1 }>('SELECT 1 AS one FROM host_label WHERE label = ? LIMIT 1')

  return {
    /** The host's key, made when it is new. */
    ensure({ site, device }: HostKey, atMs: number): number {
      return idOf.get(site, device)?.id ?? insert.get({ site, device, atMs })!.id
    },
    idOf: ({ site, device }: HostKey) => idOf.get(site, device)?.id,
    seen: (id: number, atMs: number) => seen.run(atMs, id),
    setPresence: (id: number, state: 'here' | 'gone', atMs: number) => presence.run({ id, state, atMs }),
    /** Merges facts over those known; `labels` (strings), `platform` and `version` are what hosts are searched by. */
    mergeFacts(id: number, facts: Readonly<Record<string, unknown>>): void {
      const row = factsOf.get(id)
      if (row === undefined) return
      const merged = { ...(JSON.parse(row.facts) as Record<string, unknown>), ...facts }
      const json = JSON.stringify(merged)
      if (json.length > maxFactsBytes) return
      const labels = Array.isArray(merged['labels'])
        ? merged['labels'].filter((label): label is string => typeof label === 'string' && label.length <= 128)
        : []
      const platform = text(merged['platform'])
      const search = [`${row.device}.${row.site_id}`, platform, text(merged['hostname']), ...labels]
      setFacts.run(json, platform, text(merged['version']), search.join('\n').toLowerCase(), id)
      if ('labels' in facts) {
        dropLabels.run(id)
        for (const label of labels.slice(0, maxLabels)) addLabel.run(label, id)
      }
    },
    one({ site, device }: HostKey): HostRecord | undefined {
      const row = one.get(site, device)
      return row && toRecord(row)
    },
    page: ({ site, label, search, after, limit }: HostFilter): HostRecord[] =>
      page
        .all({
          site: site ?? null,
          label: label ?? null,
          search: search?.toLowerCase() ?? null,
          afterSite: after?.site ?? '',
          afterDevice: after?.device ?? '',
          limit,
        })
        .map(toRecord),
    resolve({ all, sites, labels, hosts }: TargetSelection): ResolvedTargets {
      const known = knownSites.all()
      const rows = selected.all({
        narrowed: all || sites.length > 0 || labels.length > 0 ? 1 : 0,
        sites: JSON.stringify(all ? [] : sites),
        labels: JSON.stringify(all ? [] : labels),
        hosts: JSON.stringify(hosts),
      })
      const unknown = [
        ...sites.filter((site) => !known.some(({ id }) => id === site)).map((site) => `site=${site}`),
        ...labels.filter((label) => labelExists.get(label) === undefined).map((label) => `label=${label}`),
        ...hosts
          .filter((host) => !rows.some((row) => row.device === host || `${row.device}.${row.site_id}` === host))
          .map((host) => `host=${host}`),
      ]
      const bySite = new Map<SiteId, DeviceId[]>()
      for (const { id, hosts: count } of known) {
        const isNamed = all || (labels.length === 0 && sites.some((site) => site === id))
        if (count === 0 && isNamed) bySite.set(id, [])
      }
      for (const row of rows) {
        const devices = bySite.get(row.site_id)
        if (devices) devices.push(row.device)
        else bySite.set(row.site_id, [row.device])
      }
      return {
        unknown,
        sites: [...bySite].map(([site, devices]) => ({
          site,
          devices,
          isWhole: devices.length === known.find(({ id }) => id === site)?.hosts,
        })),
      }
    },
  }
}

function text(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value.slice(0, 256) : null
}

function toRecord(row: HostRow): HostRecord {
  return {
    site: row.site_id,
    device: row.device,
    firstSeenAtMs: row.first_seen_at_ms,
    lastSeenAtMs: row.last_seen_at_ms,
    presence: row.presence,
    presenceAtMs: row.presence_at_ms,
    labels: (JSON.parse(row.labels) as string[]).sort(),
    platform: row.platform,
    version: row.version,
    facts: JSON.parse(row.facts) as Record<string, unknown>,
  }
}
