// `queries list|show|results|cancel`: questions that were asked, by anybody.
import { Command } from 'commander'
import { AppError, exitCodes } from '../../lib/errors.ts'
import { printable } from '../../lib/output/printable.ts'
import { renderTable } from '../../lib/output/table.ts'
import { cellToText } from '../../protocol/cells.ts'
import { QueryDetail, QueryList, type QueryView } from '../../protocol/api.ts'
import { QueryId } from '../../protocol/ids.ts'
import { examples, useClient, withConnection } from '../connect.ts'
import { jsonLine } from '../output/answers.ts'
import { unionCsv } from '../output/union-csv.ts'
import { localTimes, shortTime } from '../output/times.ts'
import type { ConnectionOptions } from '../settings.ts'
import { followQuery } from './query.ts'

export function queriesCommand(): Command {
  const list = withConnection(new Command('list'))
    .description('queries, newest first')
    .option('--open', 'only those that wait for somebody')
    .option('--limit <count>', 'at most so many', '50')
    .option('--json', 'as JSON')
    .action(async (options: ConnectionOptions & { open?: true; limit: string; json?: true }) => {
      const status = options.open ? 'open' : undefined
      const { queries } = await useClient(options, (client) =>
        client.get('/queries', QueryList, { status, limit: options.limit }),
      )
      if (options.json) process.stdout.write(`${JSON.stringify(queries, undefined, 2)}\n`)
      else
        process.stdout.write(
          renderTable(['id', 'asked', 'by', 'status', 'answered', 'targets', 'sql'], queries.map(listRow)),
        )
    })

  const show = withConnection(new Command('show'))
    .description('one query: the state of each device, and why those that are missing are missing')
    .argument('<id>')
    .option('--follow', 'print its answers, and wait for more until it is done')
    .option('--json', 'as JSON')
    .addHelpText('after', examples('tidegate queries show q-7f3k2m9x1c', 'tidegate queries show q-7f3k2m9x1c --follow'))
    .action(async (given: string, options: ConnectionOptions & { follow?: true; json?: true }) => {
      const id = parseId(given)
      await useClient(options, async (client) => {
        if (options.follow) return followQuery(client, id, options.json === true)
        const query = await client.get(`/queries/${id}`, QueryDetail)
        process.stdout.write(options.json ? `${JSON.stringify(query, undefined, 2)}\n` : describe(query, Date.now()))
      })
    })

  const results = withConnection(new Command('results'))
    .description('the answers that have come so far')
    .argument('<id>')
    .option('--csv', 'as CSV; without it, one JSON line per answer')
    .option('--json', 'one JSON line per answer')
    .addHelpText('after', examples('tidegate queries results q-7f3k2m9x1c --csv > answers.csv'))
    .action(async (given: string, options: ConnectionOptions & { csv?: true; json?: true }) => {
      const id = parseId(given)
      await useClient(options, async (client) => {
        const parts: { columns: string[]; rows: string[][] }[] = []
        for await (const line of client.results(id, false, new AbortController().signal)) {
          if (line.type !== 'answer') continue
          if (!options.csv) process.stdout.write(jsonLine(line))
          else
            parts.push({
              columns: ['host', ...line.columns],
              rows: line.rows.map((row) => [line.host, ...row.map(cellToText)]),
            })
        }
        if (options.csv) process.stdout.write(unionCsv(parts))
      })
    })

  const cancel = withConnection(new Command('cancel'))
    .description('stop a query; devices that answered stay answered')
    .argument('<id>')
    .action(async (given: string, options: ConnectionOptions) => {
      const id = parseId(given)
      await useClient(options, (client) => client.post(`/queries/${id}/cancel`, QueryDetail))
      process.stdout.write(`${id}: cancelled\n`)
      process.exitCode = exitCodes.ok
    })

  return new Command('queries')
    .description('questions that were asked: list, show, follow, export, cancel')
    .addCommand(list)
    .addCommand(show)
    .addCommand(results)
    .addCommand(cancel)
}

function parseId(text: string): QueryId {
  const id = QueryId.safeParse(text)
  if (id.success) return id.data
  throw new AppError('QUERY_ID_INVALID', `'${text}' is not the id of a query`, {
    hint: 'tidegate queries list shows the ids; they start with q-',
    exit: 'usage',
  })
}

function listRow(query: QueryView): string[] {
  const { id, createdAtMs, by, status, counts, sql } = query
  const shown = query.cancelledAtMs === undefined ? status : 'cancelled'
  const oneLine = sql.replace(/\s+/g, ' ')
  return [
    id,
    shortTime(createdAtMs, Date.now()),
    by,
    shown,
    String(counts.answered),
    String(counts.targets),
    oneLine.length > 60 ? `${oneLine.slice(0, 59)}…` : oneLine,
  ]
}

function describe(query: QueryDetail, nowMs: number): string {
  const { counts } = query
  const facts = [
    ['query', query.id],
    ['sql', query.sql],
    ['targets', query.targets.join(' ')],
    ['asked', `${shortTime(query.createdAtMs, nowMs)} by ${query.by}`],
    ...(query.why === undefined ? [] : [['why', query.why]]),
    ['valid until', shortTime(query.validUntilMs, nowMs)],
    ...(query.cancelledBy === undefined ? [] : [['cancelled', `by ${query.cancelledBy}`]]),
    [
      'status',
      `${query.status}: ${counts.answered} of ${counts.targets} answered, ${counts.failed} failed, ${counts.waiting} waiting`,
    ],
  ]
  const rows = query.devices.map(({ site, device, state, reason, rows: count, times }) => [
    site,
    device ?? '*',
    state,
    times[state] === undefined ? '' : shortTime(times[state], nowMs),
    count === undefined ? '' : String(count),
    localTimes(reason ?? '', nowMs),
  ])
  const head = facts.map(([name = '', value = '']) => `${name.padEnd(12)}${printable(value)}\n`).join('')
  return `${head}${renderTable(['site', 'device', 'state', 'since', 'rows', 'reason'], rows)}`
}
