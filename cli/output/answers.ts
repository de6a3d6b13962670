// What `query` and `queries show --follow` print: rows on stdout as they arrive; on stderr a status line while waiting
// (on a terminal), and in the end who is missing and why.
import { renderJsonObject } from '../../lib/output/json.ts'
import { cellToText } from '../../protocol/cells.ts'
import type { ProgressLine, ResultLine, StreamLine } from '../../protocol/api.ts'
import { painter } from './colour.ts'
import { describeMissing, statusLine } from './missing.ts'
import { StreamingTable } from './streaming-table.ts'

export interface Terminal {
  out: { write(text: string): unknown }
  err: { write(text: string): unknown; isTTY?: boolean; columns?: number }
  now: () => number
}

/** Prints a stream to its end. True when every target answered. */
export async function printAnswers(
  lines: AsyncIterable<StreamLine>,
  isJson: boolean,
  terminal: Terminal,
): Promise<boolean> {
  const { out, err, now } = terminal
  const table = new StreamingTable()
  const paint = painter(err)
  let hasStatus = false
  const clearStatus = () => {
    if (hasStatus) err.write('\r\u001b[K')
    hasStatus = false
  }
  try {
    for await (const line of lines) {
      clearStatus()
      if (line.type === 'answer') {
        out.write(isJson ? jsonLine(line) : table.rows(['host', ...line.columns], rowTexts(line)))
        for (const warning of line.warnings ?? []) err.write(`${paint('yellow', `${line.host}: ${warning}`)}\n`)
        if (line.truncated !== undefined) {
          err.write(`${paint('yellow', `${line.host}: the answer was cut off at the limit of ${line.truncated}`)}\n`)
        }
      } else if (line.type === 'progress') {
        if (err.isTTY) {
          err.write(statusLine(line, now()).slice(0, (err.columns ?? 80) - 1))
          hasStatus = true
        }
      } else {
        out.write(table.end())
        err.write(summary(line, now(), paint))
        return line.status === 'done' && line.counts.answered === line.counts.targets
      }
    }
  } finally {
    clearStatus()
  }
  return false
}

/** fleetctl's form, one line per answer: host, and rows as objects of strings in column order. */
export function jsonLine({ host, site, device, status, message, columns, rows, part, parts }: ResultLine): string {
  const head = { host, site, device, status, ...(message === undefined ? {} : { message }), part, parts }
  const objects = rows.map((row) => renderJsonObject(columns, row.map(cellToText)))
  return `${JSON.stringify(head).slice(0, -1)},"rows":[${objects.join(',')}]}\n`
}

function rowTexts({ host, rows }: ResultLine): string[][] {
  return rows.map((row) => [host, ...row.map(cellToText)])
}

function summary(line: ProgressLine, nowMs: number, paint: ReturnType<typeof painter>): string {
  const { counts, missing, missingMore } = line
  const colour = counts.answered === counts.targets ? 'green' : 'yellow'
  const head = paint(colour, `${counts.answered} of ${counts.targets} answered`)
  const rest = missing.map((one) => `  ${paint(one.final ? 'red' : 'yellow', describeMissing(one, nowMs))}\n`)
  const more = missingMore === undefined ? '' : `  and ${missingMore} more\n`
  return `${head}${missing.length > 0 ? '; missing:' : ''}\n${rest.join('')}${more}`
}
