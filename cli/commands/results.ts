// `results`: latest rows of a scheduled query, or table, over hosts, each with its age.
import { Command } from 'commander'
import { renderJsonObject } from '../../lib/output/json.ts'
import { formatDuration } from '../../lib/units.ts'
import { cellToText } from '../../protocol/cells.ts'
import { ResultsPage } from '../../protocol/api.ts'
import { examples, useClient, withConnection } from '../connect.ts'
import { StreamingTable } from '../output/streaming-table.ts'
import { unionCsv } from '../output/union-csv.ts'
import type { ConnectionOptions } from '../settings.ts'

export function resultsCommand(): Command {
  return withConnection(new Command('results'))
    .description('latest rows of a scheduled query, or table, over hosts, with their age')
    .argument('<name>', 'name of a scheduled query, or of a table')
    .option('--site <site>', 'only of this site')
    .option('--label <label>', 'only with this label')
    .option('--json', 'one JSON line per host')
    .option('--csv', 'as CSV')
    .addHelpText(
      'after',
      examples('tidegate results os_version', 'tidegate results listening_ports --site plant-a --csv > ports.csv'),
    )
    .action(
      async (name: string, options: ConnectionOptions & { site?: string; label?: string; json?: true; csv?: true }) => {
        const filter = { name, site: options.site, label: options.label, limit: 100 }
        const table = new StreamingTable()
        const parts: { columns: string[]; rows: string[][] }[] = []
        let hosts = 0
        await useClient(options, async (client) => {
          for await (const page of client.pages('/results', ResultsPage, filter)) {
            for (const { host, site, device, columns, rows, observedAtMs, ageMs, stale } of page.results) {
              hosts++
              const texts = rows.map((row) => row.map(cellToText))
              const observedAt = new Date(observedAtMs).toISOString()
              if (options.json) {
                const head = JSON.stringify({ host, site, device, observedAt, ageMs, stale }).slice(0, -1)
                const objects = texts.map((row) => renderJsonObject(columns, row))
                process.stdout.write(`${head},"rows":[${objects.join(',')}]}\n`)
              } else if (options.csv) {
                parts.push({
                  columns: ['host', 'observed_at', ...columns],
                  rows: texts.map((row) => [host, observedAt, ...row]),
                })
              } else {
                const age = `${formatDuration(ageMs)}${stale ? ' (stale)' : ''}`
                process.stdout.write(
                  table.rows(
                    ['host', 'age', ...columns],
                    texts.map((row) => [host, age, ...row]),
                  ),
                )
              }
            }
          }
        })
        process.stdout.write(options.csv ? unionCsv(parts) : table.end())
        if (hosts === 0) process.stderr.write(`no host has sent rows of '${name}'\n`)
      },
    )
}
