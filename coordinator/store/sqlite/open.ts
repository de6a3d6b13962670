// The store in one SQLite file, WAL with synchronous=FULL. Several processes may have it open: the server, and the
// commands that add sites and tokens while it runs; every write begins with IMMEDIATE so that they queue up.
import { openDatabase } from '../../../lib/sqlite/open.ts'
import { migrationsFolder } from '../../../lib/program-file.ts'
import type { Store } from '../store.ts'
import { auditTable } from './audit.ts'
import { epochTable } from './epochs.ts'
import { hostTables } from './hosts.ts'
import { queryTables } from './queries.ts'
import { resultLogTables } from './result-log.ts'
import { retention } from './retention.ts'
import { segmentTables } from './segments.ts'
import { siteTables } from './sites.ts'
import { latestTables } from './tables.ts'
import { tokenTable } from './tokens.ts'

/** Opens or makes the store. Throws AppError, exit `storage`. */
export function openSqliteStore(path: string): Store {
  const database = openDatabase(path, { migrations: migrationsFolder('coordinator', 'store'), pageCacheKib: 65_536 })
  const audit = auditTable(database)
  const sites = siteTables(database)
  const hosts = hostTables(database)
  const tables = latestTables(database)
  const epochs = epochTable(database)
  const queries = queryTables(database)
  const tokens = tokenTable(database)
  const resultLog = resultLogTables(database)
  const segments = segmentTables(database, { hosts, epochs, tables, queries })
  const prune = retention(database)

  const write = <T>(action: () => T): T => database.transaction(action).immediate()

  return {
    async close() {
      database.close()
    },

    addSite: async ({ site, kid, publicPem, who, atMs }) =>
      write(() => {
        const outcome = sites.add(site, kid, publicPem, atMs)
        if (outcome !== 'unchanged') {
          audit.append({ atMs, who, what: outcome === 'added' ? 'site.add' : 'site.add-key', detail: { site, kid } })
        }
        return outcome
      }),
    sites: async () => sites.list(),
    contacts: async () => sites.contacts(),
    siteKeys: async (site) => sites.keys(site),
    saveContacts: async (contacts) =>
      write(() => {
        for (const { site, atMs } of contacts) sites.saveContact(site, atMs)
      }),

    commitSegment: async (segment, committedAtMs) =>
      write(() => {
        const outcome = segments.commit(segment, committedAtMs)
        if (outcome.kind === 'committed' && outcome.isNewChain) {
          const { site, chain } = segment.header
          audit.append({ atMs: committedAtMs, who: `site ${site}`, what: 'chain.start', detail: { site, chain } })
        }
        return outcome
      }),
    newestSegment: async (site, chain) => segments.newest(site, chain),

    commandsAfter: async (site, after, limit) =>
      write(() => {
        if (sites.renumberPast(site, after)) {
          const detail = { site, seen: after }
          audit.append({ atMs: limit.nowMs, who: 'coordinator', what: 'commands.renumber', detail })
        }
        return sites.commandsAfter(site, after, limit)
      }),

    hosts: async (filter) => hosts.page(filter),
    host: async (key) => hosts.one(key),
    async hostTables(key) {
      const id = hosts.idOf(key)
      return id === undefined ? [] : tables.summaries(id)
    },
    async hostTable(key, name) {
      const id = hosts.idOf(key)
      return id === undefined ? undefined : tables.one(id, name)
    },
    latestTables: async (filter) => tables.page(filter),

    resolveTargets: async (selection) => hosts.resolve(selection),
    createQuery: async (query, addressed) =>
      write(() => {
        queries.create(query)
        for (const { site, devices, jws } of addressed) {
          for (const device of devices ?? [null]) {
            const hostId = device === null ? null : hosts.ensure({ site, device }, query.createdAtMs)
            queries.addTarget(query.id, site, hostId, 'queued', query.createdAtMs)
          }
          sites.queueCommand({ site, jws, notAfterMs: query.notAfterMs }, query.createdAtMs, query.id)
        }
        audit.append({
          atMs: query.createdAtMs,
          who: query.by,
          what: 'query.create',
          detail: {
            id: query.id,
            sql: query.sql,
            targets: query.targets,
            validUntilMs: query.notAfterMs,
            costClass: query.costClass,
            ...(query.why === null ? {} : { why: query.why }),
          },
        })
      }),
    cancelQuery: async (id, who, atMs, commands) =>
      write(() => {
        if (!queries.cancel(id, who, atMs)) return false
        for (const command of commands) {
          if (sites.withdrawCommand(command.site, id)) {
            const reason = `cancelled by ${who} before the site fetched it`
            queries.reportSite(id, command.site, { state: 'failed', atMs, reason })
          } else {
            sites.queueCommand(command, atMs, null)
          }
        }
        audit.append({ atMs, who, what: 'query.cancel', detail: { id } })
        return true
      }),
    queries: async (filter) => queries.page(filter),
    query: async (id) => queries.one(id),
    queryTargets: async (id) => queries.targets(id),
    answersAfter: async (id, after, limit) => queries.answersAfter(id, after, limit),
    overdueSites: async (nowMs) => queries.overdueSites(nowMs),
    expireTargets: async (nowMs, overdue) =>
      write(() =>
        overdue.flatMap(({ site, validBeforeMs, reason }) => queries.expire(site, validBeforeMs, nowMs, reason)),
      ),

    addToken: async ({ who, ...token }) =>
      write(() => {
        tokens.add(token)
        audit.append({ atMs: token.createdAtMs, who, what: 'token.create', detail: { id: token.id, name: token.name } })
      }),
    tokens: async () => tokens.list(),
    tokenBySha256: async (sha256) => tokens.bySha256(sha256),
    touchToken: async (id, atMs) => {
      write(() => tokens.touch(id, atMs))
    },
    revokeToken: async (id, who, atMs) =>
      write(() => {
        if (!tokens.revoke(id, atMs)) return false
        audit.append({ atMs, who, what: 'token.revoke', detail: { id } })
        return true
      }),

    auditAfter: async (after, limit) => audit.after(after, limit),
    epochs: async (filter) => epochs.page(filter),

    resultLogPosition: async () => resultLog.position(),
    recordsAfter: async (id, limit) => resultLog.recordsAfter(id, limit),
    async loggedTable(key, name) {
      const id = hosts.idOf(key)
      return id === undefined ? undefined : resultLog.table(id, name)
    },
    saveResultLog: async (position, logged) =>
      write(() => {
        for (const { key, name, table } of logged) {
          const id = hosts.idOf(key)
          if (id !== undefined) resultLog.saveTable(id, name, table)
        }
        resultLog.savePosition(position)
      }),

    prune: async (olderThanMs, keepRecordsAfterId) => write(() => prune(olderThanMs, keepRecordsAfterId)),
  }
}
