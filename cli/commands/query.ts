// `query`: asks, prints rows as they arrive, says who is missing and why. Ctrl-C leaves the query running.
import { text } from 'node:stream/consumers'
import { Command, Option } from 'commander'
import { AppError, exitCodes } from '../../lib/errors.ts'
import { parseDurationMs, parseSizeBytes } from '../../lib/units.ts'
import { QueryDetail, type QueryCreateInput } from '../../protocol/api.ts'
import { costClasses } from '../../protocol/commands.ts'
import type { ApiClient } from '../client.ts'
import { examples, useClient, withConnection } from '../connect.ts'
import { printAnswers } from '../output/answers.ts'
import type { ConnectionOptions } from '../settings.ts'

interface QueryOptions extends ConnectionOptions {
  target: string[]
  validFor: string
  timeout?: string
  maxRows?: string
  maxBytes?: string
  cost?: (typeof costClasses)[number]
  why?: string
  detach?: true
  json?: true
}

export function queryCommand(): Command {
  return withConnection(new Command('query'))
    .description('ask devices a question in SQL')
    .argument('<sql>', "one SELECT statement; '-' reads it from stdin")
    .requiredOption(
      '--target <what>',
      'site=…, label=…, host=… or all; may be given again: several sites or several labels: any of them; a site and a label: both; host=… is added',
      (one: string, before: string[] | undefined) => [...(before ?? []), one],
    )
    .option('--valid-for <duration>', 'how long it waits for devices and links that are away, up to 90d', '1h')
    .option('--timeout <duration>', 'time that it may take on a device (default 60s)')
    .option('--max-rows <count>', 'rows that a device may answer (default 10000)')
    .option('--max-bytes <size>', 'size that an answer may have (default 8MiB)')
    .addOption(new Option('--cost <class>', 'what it costs a device; plants decide by it').choices(costClasses))
    .option('--why <text>', 'shown at the plant, kept in both audit logs')
    .option('--detach', 'print the id of the query and do not wait')
    .option('--json', 'one JSON line per answer')
    .addHelpText(
      'after',
      examples(
        "tidegate query --target site=plant-a 'SELECT name, pid FROM processes LIMIT 5'",
        "tidegate query --target site=plant-a --target site=plant-b --target label=press 'SELECT * FROM os_version'",
        "tidegate query --target all --valid-for 7d --why 'CVE-2026-1234' \"SELECT version FROM deb_packages WHERE name = 'openssl'\"",
        "tidegate query --target host=press-3.plant-b --json 'SELECT * FROM uptime' | jq .rows",
      ),
    )
    .addHelpText('after', '\nExit code: 0 when every device answered, 1 when some did not, 130 after Ctrl-C.')
    .action(async (sql: string, options: QueryOptions) => {
      const query: QueryCreateInput = {
        sql: sql === '-' ? await text(process.stdin) : sql,
        targets: options.target,
        validForMs: parseDurationMs(options.validFor),
        ...(options.timeout === undefined ? {} : { timeoutMs: parseDurationMs(options.timeout) }),
        ...(options.maxRows === undefined ? {} : { maxRows: Number(options.maxRows) }),
        ...(options.maxBytes === undefined ? {} : { maxBytes: parseSizeBytes(options.maxBytes) }),
        ...(options.cost === undefined ? {} : { costClass: options.cost }),
        ...(options.why === undefined ? {} : { why: options.why }),
      }
      await useClient(options, async (client) => {
        const { id } = await client.post('/queries', QueryDetail, query)
        if (options.detach) process.stdout.write(options.json ? `${JSON.stringify({ id })}\n` : `${id}\n`)
        else await followQuery(client, id, options.json === true)
      })
    })
}

/** Prints the answers of a query until it is done, or until Ctrl-C; sets the exit code. */
export async function followQuery(client: ApiClient, id: string, isJson: boolean): Promise<void> {
  const leave = new AbortController()
  const onInterrupt = () => leave.abort()
  process.once('SIGINT', onInterrupt)
  try {
    const terminal = { out: process.stdout, err: process.stderr, now: Date.now }
    const isComplete = await printAnswers(client.results(id, true, leave.signal), isJson, terminal)
    process.exitCode = isComplete ? exitCodes.ok : exitCodes.failed
  } catch (error) {
    const isLeft = leave.signal.aborted
    if (!isLeft && !(error instanceof AppError && error.exit === 'peer')) throw error
    process.stderr.write(
      `\n${id} goes on without you:\n  tidegate queries show ${id} --follow\n  tidegate queries cancel ${id}\n  tidegate queries list\n`,
    )
    if (!isLeft) throw error
    process.exitCode = 130
  } finally {
    process.removeListener('SIGINT', onInterrupt)
  }
}
