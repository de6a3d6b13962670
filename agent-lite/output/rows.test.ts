import { expect, test } from 'vitest'
import { renderRows } from './rows.ts'

const result = {
  columns: ['name', 'n', 'x'],
  rows: [
    ['ada', 5, { d: '1' }],
    ['größe', { i: '9007199254740993' }, null],
  ] as const,
}

test('a table is a box as wide as its widest value, counted in characters', () => {
  expect(renderRows('table', result)).toBe(
    [
      '+-------+------------------+-----+',
      '| name  | n                | x   |',
      '+-------+------------------+-----+',
      '| ada   | 5                | 1.0 |',
      '| größe | 9007199254740993 |     |',
      '+-------+------------------+-----+',
      '',
    ].join('\n'),
  )
})

test('JSON is an array of rows, every value text, keys in the order of the columns', () => {
  expect(renderRows('json', result)).toBe(
    '[\n  {"name":"ada","n":"5","x":"1.0"},\n  {"name":"größe","n":"9007199254740993","x":""}\n]\n',
  )
  const columns = ['b', '2', 'b']
  expect(renderRows('json', { columns, rows: [['x', 'y', 'z']] })).toBe('[\n  {"b":"z","2":"y"}\n]\n')
})

test('without rows JSON is an empty array and the others print nothing', () => {
  const empty = { columns: ['a'], rows: [] }
  expect(JSON.parse(renderRows('json', empty))).toEqual([])
  expect([renderRows('table', empty), renderRows('line', empty), renderRows('csv', empty)]).toEqual(['', '', ''])
})

test('lines put one value on each, names to the right, records apart', () => {
  expect(renderRows('line', result)).toBe(
    ' name = ada\n    n = 5\n    x = 1.0\n\n name = größe\n    n = 9007199254740993\n    x = \n',
  )
})

test('CSV quotes what needs it', () => {
  const tricky = { columns: ['a', 'b'], rows: [['x,y', 'say "hi"'] as const, ['line\nbreak', ''] as const] }
  expect(renderRows('csv', tricky)).toBe('a,b\n"x,y","say ""hi"""\n"line\nbreak",\n')
  expect(renderRows('csv', tricky, { separator: '|', header: false })).toBe('x,y|"say ""hi"""\n"line\nbreak"|\n')
})

test('control characters of a value reach no terminal', () => {
  const hostile = { columns: ['n'], rows: [['a\u001b[2Jb\nc\u009b']] }
  expect(renderRows('table', hostile)).toContain('| a\\x1B[2Jb\\x0Ac\\x9B |')
  expect(renderRows('line', hostile)).toBe('    n = a\\x1B[2Jb\\x0Ac\\x9B\n')
  expect(renderRows('json', hostile)).not.toContain('\u001b')
})
