// Sites and their links.
import type { FastifyInstance } from 'fastify'
import { SiteList, type SiteView } from '../../protocol/api.ts'
import { addRoute } from '../api/route.ts'
import type { RouteContext } from '../api/server.ts'

export function addSiteRoutes(app: FastifyInstance, { store, links }: RouteContext): void {
  addRoute(
    app,
    {
      method: 'GET',
      url: '/sites',
      tag: 'Sites',
      summary: 'All sites, with the state of their links',
      answer: SiteList,
    },
    async () => ({
      sites: (await store.sites()).map((site): SiteView => ({
        id: site.id,
        addedAtMs: site.addedAtMs,
        link: links.linkOf(site),
        hosts: site.hosts,
        hostsHere: site.hostsHere,
        segments: site.segments,
        ...(site.lastSegmentAtMs === null ? {} : { lastSegmentAtMs: site.lastSegmentAtMs }),
        staleTables: site.staleTables,
      })),
    }),
  )
}
