// Lines of osquery's result log (osquery/core/query.cpp): one JSON object per line, keys in osquery's order.
import { createHash } from 'node:crypto'
import { cellToText, type Cell } from '../../protocol/cells.ts'
import type { Columnar } from '../../protocol/columnar.ts'

export interface LineHead {
  name: string
  /** The device's id; `decorations.site` tells equal ones of two sites apart. */
  host: string
  site: string
  atMs: number
  epoch: string | null
  counter: number
}

/** One line per row: event format, as osquery writes it by default. `removed` lines are to be written before `added`. */
export function* rowLines(
  head: LineHead,
  columns: readonly string[],
  rows: Columnar,
  action: 'added' | 'removed',
): Generator<string> {
  const start = commonKeys(head)
  const order = alphabetical(columns)
  for (let row = 0; row < (rows[0]?.length ?? 0); row++) {
    yield `{${start},"columns":${rowJson(order, rows, row)},"action":"${action}"}\n`
  }
}

/** All rows in one line. osquery leaves the counter of snapshots at 0. */
export function* snapshotLine(head: LineHead, columns: readonly string[], rows: Columnar): Generator<string> {
  const order = alphabetical(columns)
  yield `{"snapshot":[`
  for (let row = 0; row < (rows[0]?.length ?? 0); row++) yield `${row === 0 ? '' : ','}${rowJson(order, rows, row)}`
  yield `],"action":"snapshot",${commonKeys({ ...head, counter: 0 })}}\n`
}

/** "Tue Sep 30 17:37:30 2014 UTC": asctime, the day padded with a space. */
export function calendarTime(atMs: number): string {
  const [weekday = '', day = '', month = '', year = '', time = ''] = new Date(atMs)
    .toUTCString()
    .replace(',', '')
    .split(' ')
  return `${weekday} ${month} ${String(Number(day)).padStart(2)} ${time} ${year} UTC`
}

/** osquery's epoch is a number: 48 bits of the epoch's hash, the same for ever. 0 for records without one. */
export function epochNumber(epoch: string | null): number {
  return epoch === null ? 0 : createHash('sha256').update(epoch).digest().readUIntBE(0, 6)
}

function commonKeys({ name, host, site, atMs, epoch, counter }: LineHead): string {
  const json = JSON.stringify({
    name,
    hostIdentifier: host,
    calendarTime: calendarTime(atMs),
    unixTime: Math.floor(atMs / 1000),
    epoch: epochNumber(epoch),
    counter,
    numerics: false,
    decorations: { site },
  })
  return json.slice(1, -1)
}

/** Columns sorted by byte order, as std::map sorts them; of equal names the last one's value counts. */
function alphabetical(columns: readonly string[]): { key: string; index: number }[] {
  const last = new Map(columns.map((column, index) => [column, index]))
  return [...last]
    .sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    .map(([column, index]) => ({ key: JSON.stringify(column), index }))
}

function rowJson(order: readonly { key: string; index: number }[], rows: Columnar, row: number): string {
  const cell = (index: number): Cell => rows[index]?.[row] ?? null
  return `{${order.map(({ key, index }) => `${key}:${JSON.stringify(cellToText(cell(index)))}`).join(',')}}`
}
