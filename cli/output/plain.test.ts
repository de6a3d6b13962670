import { expect, test } from 'vitest'
import { painter } from './colour.ts'
import { localTimes, shortTime } from './times.ts'
import { unionCsv } from './union-csv.ts'

test('colour is for terminals, and not with NO_COLOR or a dumb one', () => {
  expect(painter({ isTTY: true }, {})('red', 'x')).toBe('\u001b[31mx\u001b[0m')
  expect(painter({ isTTY: true }, { NO_COLOR: '1' })('red', 'x')).toBe('x')
  expect(painter({ isTTY: true }, { TERM: 'dumb' })('red', 'x')).toBe('x')
  expect(painter({ isTTY: false }, {})('red', 'x')).toBe('x')
})

test('times are local, and have their date only on another day', () => {
  const now = new Date(2026, 10, 24, 12, 0).getTime()
  expect(shortTime(new Date(2026, 10, 24, 9, 5).getTime(), now)).toBe('09:05')
  expect(shortTime(new Date(2026, 10, 23, 9, 5).getTime(), now)).toBe('2026-11-23 09:05')
  const iso = new Date(2026, 10, 24, 9, 5).toISOString()
  expect(localTimes(`gone since ${iso}; last seen ${iso}`, now)).toBe('gone since 09:05; last seen 09:05')
})

test('CSV of answers with different columns has all of them, each value in its place', () => {
  const parts = [
    { columns: ['host', 'a'], rows: [['h1', '1']] },
    { columns: ['host', 'b', 'a'], rows: [['h2', '2', '3']] },
  ]
  expect(unionCsv(parts)).toBe('host,a,b\nh1,1,\nh2,3,2\n')
})
