// Answers as records: rows cut into parts that fit an envelope well, the facts about the whole in the last one.
import type { Cell } from '../../protocol/cells.ts'
import { toColumnar } from '../../protocol/columnar.ts'
import type { QueryId } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import type { AnswerRecord } from '../../protocol/records.ts'
import type { QueryStats } from '../engine/query.ts'

/** JSON of one part's rows. A row that is larger travels alone. */
const partBytes = 200 * 1024
/** Past this a row is left out: with the most that columns, warnings and message can take it would fit into no publish. */
const rowBytesMax = limits.payloadBytes - 160 * 1024

export interface AnswerInput {
  queryId: QueryId
  atMs: number
  status: AnswerRecord['status']
  message?: string
  columns?: readonly string[]
  rows?: readonly Cell[][]
  truncated?: 'rows' | 'bytes' | undefined
  warnings?: readonly string[]
  stats?: QueryStats
}

/** The records of one answer, at least one. Rows too large to travel are left out, and a warning says how many. */
export function answerParts(input: AnswerInput): AnswerRecord[] {
  const { queryId, atMs, status, stats, columns = [] } = input
  const { groups, omittedCount } = grouped(input.rows ?? [])
  const warnings = [
    ...(omittedCount === 0 ? [] : [`left out, because too large to travel: ${omittedCount} of the rows`]),
    ...(input.warnings ?? []),
  ]
  const truncated = omittedCount > 0 ? 'bytes' : input.truncated
  return groups.map((rows, part) => ({
    kind: 'answer',
    atMs,
    queryId,
    status,
    columns: [...columns],
    rows: toColumnar(columns.length, rows),
    part,
    parts: groups.length,
    ...(part < groups.length - 1
      ? {}
      : {
          ...(input.message === undefined ? {} : { message: input.message.slice(0, 4096) }),
          ...(truncated === undefined ? {} : { truncated }),
          ...(warnings.length === 0 ? {} : { warnings: warnings.slice(0, 100).map((text) => text.slice(0, 1024)) }),
          ...(stats === undefined ? {} : { stats: { ...stats } }),
        }),
  }))
}

/** For an answer of which some parts may have been stored: every part once more, empty. Those that arrived already stay. */
export function interruptedAnswer(queryId: QueryId, parts: number, atMs: number, message: string): AnswerRecord[] {
  return Array.from({ length: parts }, (_, part) => ({
    kind: 'answer',
    atMs,
    queryId,
    status: 'failed',
    message,
    columns: [],
    rows: [],
    part,
    parts,
  }))
}

function grouped(rows: readonly Cell[][]): { groups: Cell[][][]; omittedCount: number } {
  const groups: Cell[][][] = [[]]
  let groupBytes = 0
  let omittedCount = 0
  for (const row of rows) {
    const rowBytes = Buffer.byteLength(JSON.stringify(row))
    if (rowBytes > rowBytesMax) {
      omittedCount++
      continue
    }
    const group = groups[groups.length - 1] as Cell[][]
    if (group.length > 0 && groupBytes + rowBytes > partBytes) {
      groups.push([row])
      groupBytes = rowBytes
    } else {
      group.push(row)
      groupBytes += rowBytes
    }
  }
  return { groups, omittedCount }
}
