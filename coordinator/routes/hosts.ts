// Hosts: the list, one with what is known of it, and one of its latest tables.
import type { FastifyInstance } from 'fastify'
import * as z from 'zod'
import { HostDetail, HostId, HostList, HostsQuery, HostTable, type HostView } from '../../protocol/api.ts'
import { toRows } from '../../protocol/columnar.ts'
import { AppError } from '../../lib/errors.ts'
import { hostCursor, readHostCursor, readHostId } from '../api/cursor.ts'
import { addRoute } from '../api/route.ts'
import type { RouteContext } from '../api/server.ts'
import type { HostRecord, LatestTable } from '../store/store.ts'

const HostPath = z.object({ id: HostId })
const TablePath = HostPath.extend({ name: z.string().min(1).max(128) })

export function addHostRoutes(app: FastifyInstance, { store, links, now }: RouteContext): void {
  addRoute(
    app,
    {
      method: 'GET',
      url: '/hosts',
      tag: 'Hosts',
      summary: 'Hosts by site and device',
      query: HostsQuery,
      answer: HostList,
    },
    async ({ query: { site, label, q, cursor, limit } }) => {
      const hosts = await store.hosts({ site, label, search: q, after: readHostCursor(cursor), limit: limit + 1 })
      const page = hosts.slice(0, limit)
      const last = page.at(-1)
      return {
        hosts: page.map(viewHost),
        ...(hosts.length > limit && last !== undefined ? { nextCursor: hostCursor(last) } : {}),
      }
    },
  )

  addRoute(
    app,
    {
      method: 'GET',
      url: '/hosts/:id',
      tag: 'Hosts',
      summary: 'One host and its tables',
      params: HostPath,
      answer: HostDetail,
    },
    async ({ params: { id } }) => {
      const key = readHostId(id, () => unknownHost(id))
      const host = await store.host(key)
      if (host === undefined) throw unknownHost(id)
      const linkOf = await links.all(store)
      const tables = await store.hostTables(key)
      return {
        ...viewHost(host),
        link: linkOf(key.site),
        facts: host.facts,
        tables: tables.map(({ table, ...info }) => ({
          ...info,
          ...(table === null ? {} : { table }),
          ageMs: Math.max(0, now() - info.observedAtMs),
        })),
      } satisfies HostDetail
    },
  )

  addRoute(
    app,
    {
      method: 'GET',
      url: '/hosts/:id/tables/:name',
      tag: 'Hosts',
      summary: 'Latest rows of a scheduled query, or table, on one host',
      params: TablePath,
      answer: HostTable,
    },
    async ({ params: { id, name } }) => {
      const key = readHostId(id, () => unknownHost(id))
      if ((await store.host(key)) === undefined) throw unknownHost(id)
      const table = await store.hostTable(key, name)
      if (table === undefined) {
        throw new AppError('TABLE_UNKNOWN', `host ${id} has sent no rows of '${name}'`, {
          hint: `GET /api/v1/hosts/${id} lists what it has sent`,
        })
      }
      return viewTable(table, now())
    },
  )
}

/** A latest table as people see it. */
export function viewTable(table: LatestTable, nowMs: number): HostTable {
  const { site, device, name, columns, observedAtMs, receivedAtMs, stale, from } = table
  return {
    host: `${device}.${site}`,
    site,
    device,
    name,
    ...(table.table === null ? {} : { table: table.table }),
    columns,
    rows: toRows(table.rows),
    observedAtMs,
    receivedAtMs,
    ageMs: Math.max(0, nowMs - observedAtMs),
    stale,
    from,
  }
}

function viewHost(host: HostRecord): HostView {
  return {
    id: `${host.device}.${host.site}`,
    site: host.site,
    device: host.device,
    firstSeenAtMs: host.firstSeenAtMs,
    lastSeenAtMs: host.lastSeenAtMs,
    presence: host.presence ?? 'unknown',
    ...(host.presenceAtMs === null ? {} : { presenceAtMs: host.presenceAtMs }),
    labels: host.labels,
    ...(host.platform === null ? {} : { platform: host.platform }),
    ...(host.version === null ? {} : { version: host.version }),
  }
}

function unknownHost(id: string): AppError {
  return new AppError('HOST_UNKNOWN', `there is no host ${id}`, {
    hint: 'a host is named device.site; see /api/v1/hosts',
  })
}
