import { expect, test } from 'vitest'
import { calendarTime, epochNumber, rowLines, snapshotLine, type LineHead } from './lines.ts'

const head: LineHead = {
  name: 'pack/x/procs',
  host: 'press-1',
  site: 'plant-a',
  atMs: Date.UTC(2014, 8, 30, 17, 37, 30),
  epoch: 'epoch-0001',
  counter: 3,
}
const common =
  '"name":"pack/x/procs","hostIdentifier":"press-1","calendarTime":"Tue Sep 30 17:37:30 2014 UTC","unixTime":1412098650,' +
  `"epoch":${epochNumber('epoch-0001')},"counter":3,"numerics":false,"decorations":{"site":"plant-a"}`

test('a row is one line with keys as osquery orders them, columns sorted and values as text', () => {
  const rows = [
    [1, { i: '9223372036854775807' }],
    [null, 1.5],
    ['b', 'a"b'],
  ]
  expect([...rowLines(head, ['z', 'B', 'a'], rows, 'added')]).toEqual([
    `{${common},"columns":{"B":"","a":"b","z":"1"},"action":"added"}\n`,
    `{${common},"columns":{"B":"1.5","a":"a\\"b","z":"9223372036854775807"},"action":"added"}\n`,
  ])
})

test('a snapshot is one line with all rows and counter 0', () => {
  const line = [...snapshotLine(head, ['pid'], [[1, 2]])].join('')
  expect(line).toBe(
    `{"snapshot":[{"pid":"1"},{"pid":"2"}],"action":"snapshot",${common.replace('"counter":3', '"counter":0')}}\n`,
  )
  expect(JSON.parse([...snapshotLine(head, ['pid'], [[]])].join(''))).toMatchObject({ snapshot: [] })
})

test('the day is padded with a space, as asctime does', () => {
  expect(calendarTime(Date.UTC(2026, 10, 4, 1, 2, 3))).toBe('Wed Nov  4 01:02:03 2026 UTC')
})

test('an epoch is always the same number, exact in JSON, and 0 without one', () => {
  expect(epochNumber('epoch-0001')).toBe(epochNumber('epoch-0001'))
  expect(Number.isSafeInteger(epochNumber('epoch-0002'))).toBe(true)
  expect(epochNumber(null)).toBe(0)
})
