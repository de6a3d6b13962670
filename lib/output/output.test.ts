import { describe, expect, test } from 'vitest'
import { renderCsv } from './csv.ts'
import { renderJson } from './json.ts'
import { renderLines } from './line.ts'
import { displayWidth, printable } from './printable.ts'
import { renderTable } from './table.ts'

describe('printable', () => {
  test('shows escape sequences and direction overrides instead of sending them to the terminal', () => {
    expect(printable('a\u001b[31mred\u009b\u202e')).toBe('a\\x1B[31mred\\x9B\\u202E')
  })
  test('counts wide characters twice and combining marks not at all', () => {
    expect(displayWidth('漢字')).toBe(4)
    expect(displayWidth('e\u0301')).toBe(1)
  })
})

test('a table is drawn as osqueryi draws it', () => {
  expect(
    renderTable(
      ['pid', 'name'],
      [
        ['1', 'init'],
        ['23', 'sh'],
      ],
    ),
  ).toBe('+-----+------+\n| pid | name |\n+-----+------+\n| 1   | init |\n| 23  | sh   |\n+-----+------+\n')
  expect(renderTable(['pid'], [])).toBe('')
})

test('line mode aligns the names and parts rows by a blank line', () => {
  expect(
    renderLines(
      ['pid', 'name'],
      [
        ['1', 'init'],
        ['2', 'sh'],
      ],
    ),
  ).toBe(' pid = 1\nname = init\n\n pid = 2\nname = sh\n')
})

test('CSV quotes separators, quotes and line breaks, and nothing else', () => {
  expect(
    renderCsv(
      ['a', 'b'],
      [
        ['x,y', 'say "hi"'],
        ['1\n2', 'plain|'],
      ],
    ),
  ).toBe('a,b\n"x,y","say ""hi"""\n"1\n2",plain|\n')
  expect(renderCsv(['a'], [['x|y']], { separator: '|', header: false })).toBe('"x|y"\n')
})

test('JSON keeps the order of columns, even of those that look like numbers', () => {
  expect(
    renderJson(
      ['b', '1'],
      [
        ['x', 'y'],
        ['z', ''],
      ],
    ),
  ).toBe('[\n  {"b":"x","1":"y"},\n  {"b":"z","1":""}\n]\n')
  expect(renderJson(['b'], [])).toBe('[\n\n]\n')
})
