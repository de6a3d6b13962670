// `sites`: every site, its link, its devices.
import { Command } from 'commander'
import { renderTable } from '../../lib/output/table.ts'
import { SiteList, type Link } from '../../protocol/api.ts'
import { examples, useClient, withConnection } from '../connect.ts'
import { shortTime } from '../output/times.ts'
import type { ConnectionOptions } from '../settings.ts'

export function sitesCommand(): Command {
  return withConnection(new Command('sites'))
    .description('sites and the state of their links')
    .option('--json', 'as JSON')
    .addHelpText(
      'after',
      examples('tidegate sites', 'tidegate sites --json | jq \'.[] | select(.link.state != "up")\''),
    )
    .action(async (options: ConnectionOptions & { json?: true }) => {
      const { sites } = await useClient(options, (client) => client.get('/sites', SiteList))
      if (options.json) return void process.stdout.write(`${JSON.stringify(sites, undefined, 2)}\n`)
      const nowMs = Date.now()
      const rows = sites.map((site) => [
        site.id,
        describeLink(site.link, nowMs),
        `${site.hostsHere} of ${site.hosts}`,
        String(site.segments),
        site.lastSegmentAtMs === undefined ? 'never' : shortTime(site.lastSegmentAtMs, nowMs),
      ])
      process.stdout.write(renderTable(['site', 'link', 'hosts here', 'segments', 'last segment'], rows))
    })
}

export function describeLink(link: Link, nowMs: number): string {
  if (link.state === 'down' && link.sinceMs !== undefined) return `down since ${shortTime(link.sinceMs, nowMs)}`
  return link.state === 'never' ? 'never connected' : link.state
}
