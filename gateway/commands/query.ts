// tidegate-gateway query '<SQL>': over the newest rows of all devices, printed as osqueryi does; or with --live, asked of
// the devices themselves in the plant's name.
import { setTimeout as sleep } from 'node:timers/promises'
import { text } from 'node:stream/consumers'
import { Option, type Command } from 'commander'
import { AppError } from '../../lib/errors.ts'
import { renderCsv } from '../../lib/output/csv.ts'
import { renderJson } from '../../lib/output/json.ts'
import { renderLines } from '../../lib/output/line.ts'
import { renderTable } from '../../lib/output/table.ts'
import { formatDuration, parseDurationMs } from '../../lib/units.ts'
import { cellToText, type Cell } from '../../protocol/cells.ts'
import { toRows } from '../../protocol/columnar.ts'
import { isFinal } from '../../protocol/query-states.ts'
import type { AnswerRecord } from '../../protocol/records.ts'
import { AdminClient } from '../admin/client.ts'
import type { QueryDetail } from '../dispatch/read.ts'
import type { SqlResult } from '../state/ad-hoc-sql.ts'
import { adminCommand, currentUser, parseCount } from './options.ts'
import { print } from './output.ts'

interface QueryFlags {
  config: string
  json?: true
  csv?: true
  line?: true
  maxRows?: number
  timeout: string
  live?: true
  device?: string[]
  why?: string
}

const pollMs = 250

export function queryCommand(): Command {
  return adminCommand('query', 'Run one SELECT over the newest rows of all devices of this site.')
    .argument('<sql>', "the statement, or '-' to read it from standard input")
    .addOption(new Option('--csv', 'comma-separated values').conflicts(['json', 'line']))
    .addOption(new Option('--line', 'one value per line').conflicts(['json', 'csv']))
    .option('--max-rows <count>', 'stop after this many rows', parseCount)
    .option('--timeout <duration>', 'end the query after this time', '30s')
    .option('--live', 'ask the devices themselves now, not what they last sent')
    .option('--device <id...>', 'with --live: only these devices')
    .option('--why <text>', 'with --live: the reason, for the audit log')
    .addHelpText(
      'after',
      `
Every scheduled query is a table under its own name, with the columns device, observed_at and age_s before its own.

Examples:
  tidegate-gateway query "SELECT name, device, age_s FROM tidegate_tables"
  tidegate-gateway query "SELECT device, name, version FROM deb_packages WHERE name = 'openssl'" --csv
  tidegate-gateway query --live --device press-2 "SELECT * FROM uptime"
`,
    )
    .action(async (sql: string, flags: QueryFlags) => {
      const statement = sql === '-' ? await text(process.stdin) : sql
      const timeoutMs = parseDurationMs(flags.timeout)
      const client = new AdminClient(flags.config)
      if (flags.live) return askDevices(client, statement, timeoutMs, flags)
      const result = await client.post<SqlResult>('/v1/query', {
        sql: statement,
        timeout: `${timeoutMs}ms`,
        ...(flags.maxRows === undefined ? {} : { maxRows: flags.maxRows }),
      })
      await print(render(result, flags))
      if (result.truncated)
        console.error(`warning: only the first ${result.rows.length} rows: too many ${result.truncated}`)
    })
}

/** Waits for every device to end, at most until the timeout; rows get a column `device` in front. */
async function askDevices(client: AdminClient, sql: string, timeoutMs: number, flags: QueryFlags): Promise<void> {
  const { id } = await client.post<{ id: string }>('/v1/queries', {
    sql,
    devices: flags.device ?? '*',
    validForMs: Math.max(timeoutMs, 1000),
    by: currentUser(),
    ...(flags.why === undefined ? {} : { why: flags.why }),
    ...(flags.maxRows === undefined ? {} : { maxRows: flags.maxRows }),
  })
  const endMs = Date.now() + timeoutMs
  let query = await client.get<QueryDetail>(`/v1/queries/${id}`)
  while (query.deliveries.some(({ state }) => !isFinal(state)) && Date.now() < endMs) {
    await sleep(pollMs)
    query = await client.get<QueryDetail>(`/v1/queries/${id}`)
  }
  const answers: DeviceAnswer[] = []
  for (const { device, rows } of query.deliveries) {
    if (rows === 0) continue
    const parts = await client.get<AnswerRecord[]>(`/v1/queries/${id}/answers/${device}`)
    answers.push(...parts.map((record) => ({ device, record })))
  }
  await print(render(rowsOf(answers), flags))
  const without = query.deliveries.filter(({ state }) => state !== 'answered')
  for (const { device, state, reason } of without)
    console.error(`${device}: ${state}${reason === null ? '' : ` (${reason})`}`)
  if (query.deliveries.length === 0) {
    throw new AppError('NO_DEVICE', 'this site has no device to ask', { hint: 'tidegate-gateway devices' })
  }
  if (without.length > 0) {
    throw new AppError(
      'NOT_ALL_ANSWERED',
      `${without.length} of ${query.deliveries.length} devices did not answer within ${formatDuration(timeoutMs)}`,
      {
        hint: `tidegate-gateway queries ${id} shows them`,
      },
    )
  }
}

interface DeviceAnswer {
  device: string
  record: AnswerRecord
}

function rowsOf(answers: readonly DeviceAnswer[]): SqlResult {
  const own = [...new Set(answers.flatMap(({ record }) => record.columns))]
  const device = own.includes('device') ? 'site_device' : 'device'
  const rows = answers.flatMap(({ device: id, record }) => {
    const places = own.map((column) => record.columns.indexOf(column))
    return toRows(record.rows).map((row): Cell[] => [id, ...places.map((place) => row[place] ?? null)])
  })
  return { columns: [device, ...own], rows }
}

function render({ columns, rows }: SqlResult, { json, csv, line }: QueryFlags): string {
  const texts = rows.map((row) => row.map(cellToText))
  if (json) return renderJson(columns, texts)
  if (csv) return renderCsv(columns, texts)
  return line ? renderLines(columns, texts) : renderTable(columns, texts)
}
