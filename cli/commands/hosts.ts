// `hosts`: devices, searched, and one with what is known of it.
import { Command } from 'commander'
import { renderLines } from '../../lib/output/line.ts'
import { renderTable } from '../../lib/output/table.ts'
import { formatDuration } from '../../lib/units.ts'
import { HostDetail, HostList, type HostView } from '../../protocol/api.ts'
import { examples, useClient, withConnection } from '../connect.ts'
import { shortTime } from '../output/times.ts'
import type { ConnectionOptions } from '../settings.ts'
import { describeLink } from './sites.ts'

export function hostsCommand(): Command {
  const show = withConnection(new Command('show'))
    .description('one host: facts, and its tables with their age')
    .argument('<host>', 'device.site')
    .option('--json', 'as JSON')
    .action(async (id: string, options: ConnectionOptions & { json?: true }) => {
      const host = await useClient(options, (client) => client.get(`/hosts/${encodeURIComponent(id)}`, HostDetail))
      process.stdout.write(options.json ? `${JSON.stringify(host, undefined, 2)}\n` : describe(host, Date.now()))
    })

  return withConnection(new Command('hosts'))
    .description('devices that have been heard of')
    .option('--site <site>', 'only of this site')
    .option('--label <label>', 'only with this label')
    .option('--search <text>', 'part of the id, host name, platform or a label')
    .option('--json', 'as JSON')
    .addHelpText(
      'after',
      examples('tidegate hosts --site plant-a --label press', 'tidegate hosts show press-3.plant-b'),
    )
    .action(async (options: ConnectionOptions & { site?: string; label?: string; search?: string; json?: true }) => {
      const hosts: HostView[] = []
      await useClient(options, async (client) => {
        const filter = { site: options.site, label: options.label, q: options.search, limit: 1000 }
        for await (const page of client.pages('/hosts', HostList, filter)) hosts.push(...page.hosts)
      })
      if (options.json) return void process.stdout.write(`${JSON.stringify(hosts, undefined, 2)}\n`)
      const nowMs = Date.now()
      const rows = hosts.map((host) => [
        host.id,
        host.presence === 'gone' && host.presenceAtMs !== undefined
          ? `gone since ${shortTime(host.presenceAtMs, nowMs)}`
          : host.presence,
        shortTime(host.lastSeenAtMs, nowMs),
        host.platform ?? '',
        host.version ?? '',
        host.labels.join(' '),
      ])
      process.stdout.write(renderTable(['host', 'presence', 'last seen', 'platform', 'version', 'labels'], rows))
    })
    .addCommand(show)
}

function describe(host: HostDetail, nowMs: number): string {
  const text = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value))
  const head: [string, string][] = [
    ['host', host.id],
    ['link', describeLink(host.link, nowMs)],
    ['presence', host.presence],
    ['last seen', shortTime(host.lastSeenAtMs, nowMs)],
    ...Object.entries(host.facts).map(([name, value]): [string, string] => [name, text(value)]),
  ]
  const tables = host.tables.map((table) => [
    table.name,
    table.table ?? '',
    String(table.rows),
    formatDuration(table.ageMs),
    table.stale ? 'stale: waits for a snapshot' : '',
  ])
  const names = head.map(([name]) => name)
  return `${renderLines(names, [head.map(([, value]) => value)])}${renderTable(['query', 'table', 'rows', 'age', ''], tables)}`
}
