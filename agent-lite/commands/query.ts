// tidegate-agent query '<SQL>': one SELECT over this machine, with osqueryi's habits. Rows on standard output, the rest on
// standard error; the engine runs in its own thread, so Ctrl-C ends any query.
import { text } from 'node:stream/consumers'
import { Command, Option, InvalidArgumentError } from 'commander'
import { parseDurationMs } from '../../lib/units.ts'
import { Engine } from '../engine/client.ts'
import { defaultLimits } from '../engine/query.ts'
import { localFacts } from '../facts.ts'
import { print } from '../output/print.ts'
import { renderRows, type RowFormat } from '../output/rows.ts'

interface QueryFlags {
  json?: true
  line?: true
  csv?: true
  separator: string
  header: boolean
  timeout: string
  maxRows: number
}

export function queryCommand(): Command {
  return new Command('query')
    .description('Run one SELECT over the tables of this machine.')
    .argument('<sql>', "the statement, or '-' to read it from standard input")
    .addOption(new Option('--json', 'an array of rows, all values as strings').conflicts(['line', 'csv']))
    .addOption(new Option('--line', 'one value per line').conflicts(['json', 'csv']))
    .addOption(new Option('--csv', 'comma-separated values').conflicts(['json', 'line']))
    .option('--separator <text>', 'between the values of --csv', ',')
    .option('--no-header', 'leave the column names of --csv out')
    .option('--timeout <duration>', 'end the query after this time', '60s')
    .option('--max-rows <count>', 'stop after this many rows', parseCount, defaultLimits.maxRows)
    .action(async (sql: string, flags: QueryFlags) => {
      await runQuery(sql === '-' ? await text(process.stdin) : sql, flags)
    })
}

async function runQuery(sql: string, flags: QueryFlags): Promise<void> {
  const timeoutMs = parseDurationMs(flags.timeout)
  const format: RowFormat = flags.json ? 'json' : flags.line ? 'line' : flags.csv ? 'csv' : 'table'
  const engine = new Engine()
  const interrupt = new AbortController()
  const onInterrupt = () => interrupt.abort()
  process.once('SIGINT', onInterrupt)
  try {
    const result = await engine.query(sql, {
      facts: localFacts(),
      timeoutMs,
      maxRows: flags.maxRows,
      signal: interrupt.signal,
    })
    const columns = result.columns.map(({ name }) => name)
    await print(renderRows(format, { columns, rows: result.rows }, flags))
    for (const warning of result.warnings) console.error(`warning: ${warning}`)
    if (result.truncated === 'rows') console.error(`warning: only the first ${flags.maxRows} rows (--max-rows)`)
    if (result.truncated === 'bytes')
      console.error(`warning: only the first ${result.rows.length} rows: too many bytes`)
  } finally {
    process.removeListener('SIGINT', onInterrupt)
    await engine.close()
  }
}

function parseCount(value: string): number {
  const count = Number(value)
  if (!Number.isInteger(count) || count < 1) throw new InvalidArgumentError('give a whole number above 0')
  return count
}
