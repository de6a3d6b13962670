import { expect, test } from 'vitest'
import { toRows } from '../../protocol/columnar.ts'
import { QueryId } from '../../protocol/ids.ts'
import { checkRecord } from '../../protocol/records.ts'
import { answerParts, interruptedAnswer } from './answer.ts'

const queryId = QueryId.parse('q-1')
const head = { queryId, atMs: 1, status: 'ok' as const, columns: ['a', 'b'] }

test('an answer without rows is one part that still names its columns', () => {
  const parts = answerParts({ ...head, stats: { wallTimeMs: 5, memoryBytes: 6 } })
  expect(parts).toEqual([
    {
      kind: 'answer',
      atMs: 1,
      queryId,
      status: 'ok',
      columns: ['a', 'b'],
      rows: [[], []],
      part: 0,
      parts: 1,
      stats: { wallTimeMs: 5, memoryBytes: 6 },
    },
  ])
})

test('parts hold all rows in order, each part about 200 KiB, and only the last tells of the whole', () => {
  const rows = Array.from({ length: 2000 }, (_, index) => [index, 'x'.repeat(500)])
  const parts = answerParts({ ...head, rows, truncated: 'rows', warnings: ['w'] })
  expect(parts.flatMap((part) => toRows(part.rows))).toEqual(rows)
  expect(parts.map(({ part, parts: count }) => [part, count])).toEqual(parts.map((_, index) => [index, parts.length]))
  for (const part of parts) expect(JSON.stringify(part).length).toBeLessThan(210 * 1024)
  expect(parts.map(({ truncated, warnings }) => [truncated, warnings?.[0]])).toEqual([
    ...parts.slice(1).map(() => [undefined, undefined]),
    ['rows', 'w'],
  ])
})

test('a row that no publish can carry is left out, and the answer says so', () => {
  const rows = [
    [1, 'a'],
    [2, 'x'.repeat(1_048_576)],
    [3, 'b'],
  ]
  const [part] = answerParts({ ...head, rows })
  expect(toRows(part?.rows ?? [])).toEqual([rows[0], rows[2]])
  expect(part).toMatchObject({ truncated: 'bytes', warnings: [expect.stringContaining(': 1 of the rows')] })
})

test('an answer that was cut short by a restart is completed with empty failed parts', () => {
  const parts = interruptedAnswer(queryId, 3, 1, 'restarted')
  expect(parts.map(({ part, parts: count, status }) => [part, count, status])).toEqual([
    [0, 3, 'failed'],
    [1, 3, 'failed'],
    [2, 3, 'failed'],
  ])
})

test('messages and warnings of any length make valid records', () => {
  const long = 'm'.repeat(10_000)
  for (const part of answerParts({ ...head, message: long, warnings: Array<string>(200).fill(long) })) checkRecord(part)
})
