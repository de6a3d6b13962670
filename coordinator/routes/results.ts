// Latest rows of a scheduled query (or table) over many hosts, each with its age.
import type { FastifyInstance } from 'fastify'
import { ResultsPage, ResultsQuery } from '../../protocol/api.ts'
import { hostCursor, readHostCursor } from '../api/cursor.ts'
import { addRoute } from '../api/route.ts'
import type { RouteContext } from '../api/server.ts'
import { viewTable } from './hosts.ts'

export function addResultRoutes(app: FastifyInstance, { store, now }: RouteContext): void {
  addRoute(
    app,
    {
      method: 'GET',
      url: '/results',
      tag: 'Results',
      summary: 'Latest rows of a scheduled query, or table, over hosts',
      query: ResultsQuery,
      answer: ResultsPage,
    },
    async ({ query: { name, site, label, cursor, limit } }) => {
      const tables = await store.latestTables({ name, site, label, after: readHostCursor(cursor), limit: limit + 1 })
      const page = tables.slice(0, limit)
      const last = page.at(-1)
      return {
        results: page.map((table) => viewTable(table, now())),
        ...(tables.length > limit && last !== undefined ? { nextCursor: hostCursor(last) } : {}),
      }
    },
  )
}
