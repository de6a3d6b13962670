import { expect, test } from 'vitest'
import { evaluator } from './sql-for-tests.ts'

const value = await evaluator()

test('split cuts at any of the characters, trims, and drops empty words', () => {
  expect(value("split('192.168.0.1', '.', 1)")).toBe('168')
  expect(value("split('a:b;;c ; ', ':;', 2)")).toBe('c')
  expect(value("split('  x  ', ',', 0)")).toBe('x')
  expect(value("split('a,b', ',', 2)")).toBeNull()
  expect(value("split('a,b', ',', -1)")).toBeNull()
  expect(value("split('a,b', ',', '1x')")).toBe('b')
  expect(value("split('', ',', 0)")).toBeNull()
  expect(value("split(NULL, ',', 0)")).toBeNull()
  expect(value("split('a', '', 0)")).toBe('QUERY_INVALID: split: Invalid input to split function')
  expect(value("split(1.5, '.', 1)")).toBe('5')
})

test('regex_split cuts at matches and keeps empty pieces but not a last one', () => {
  expect(value("regex_split('192.168.0.1', '\\.0', 0)")).toBe('192.168')
  expect(value("regex_split('a1b22c', '[0-9]+', 2)")).toBe('c')
  expect(value("regex_split(',a,', ',', 0)")).toBe('')
  expect(value("regex_split(',a,', ',', 1)")).toBe('a')
  expect(value("regex_split(',a,', ',', 2)")).toBeNull()
  expect(value("regex_split('abc', 'x', 0)")).toBe('abc')
  expect(value("regex_split('', 'x', 0)")).toBe('')
  expect(value("regex_split('a(b)c', '(b)', 1)")).toBe(')c')
})

test('regex_match gives a group of the first match', () => {
  expect(value("regex_match('hello world', '(\\w+) (\\w+)', 0)")).toBe('hello world')
  expect(value("regex_match('hello world', '(\\w+) (\\w+)', 2)")).toBe('world')
  expect(value("regex_match('hello world', '(\\w+) (\\w+)', 3)")).toBeNull()
  expect(value("regex_match('hello', 'x', 0)")).toBeNull()
  expect(value("regex_match('b', '(a)?b', 1)")).toBe('')
  expect(value("regex_match('', '', 0)")).toBe('')
  expect(value("regex_match('aa', 'a', 0) || regex_match('aa', 'a', 0)")).toBe('aa')
  expect(value("regex_match(NULL, 'a', 0)")).toBeNull()
  expect(value("regex_match('a', '(', 0)")).toBe('QUERY_INVALID: regex_match: Invalid regex')
})

test('one pattern in two functions of a row disturbs neither', () => {
  expect(value("regex_match('a-b-c', '-', 0) || regex_split('a-b-c', '-', 0) || regex_match('a-b-c', '-', 0)")).toBe(
    '-a-',
  )
})

test('a pattern above 256 bytes is refused', () => {
  expect(value(`regex_match('a', '${'a'.repeat(256)}', 0)`)).toBeNull()
  const tooBig = 'QUERY_INVALID: regex_match: Invalid regex: too big, max size is 256 bytes'
  expect(value(`regex_match('a', '${'a'.repeat(257)}', 0)`)).toBe(tooBig)
})

test('concat skips NULL', () => {
  expect(value('concat()')).toBeNull()
  expect(value("concat('hello')")).toBe('hello')
  expect(value("concat('hello', NULL, 'world')")).toBe('helloworld')
  expect(value("concat(1, 2.5, 'x', x'41')")).toBe('12.5xA')
  expect(value('concat(NULL)')).toBe('')
})

test('concat_ws answers as osquery does, also where SQLite would not', () => {
  expect(value("concat_ws('')")).toBeNull()
  expect(value('concat_ws(NULL)')).toBeNull()
  expect(value("concat_ws(', ', 'hello', 'world', 1, 2, 3)")).toBe('hello, world, 1, 2, 3')
  expect(value("concat_ws(NULL, 'hello', 'world', 1, 2, 3)")).toBe('helloworld123')
  expect(value("concat_ws(' ', 'hello', NULL, 'world')")).toBe('hello world')
  expect(value("concat_ws('x', '', '')")).toBe('x')
  expect(value("concat_ws('-', 'a', NULL)")).toBe('a-')
  expect(value('concat_ws()')).toBe('QUERY_INVALID: concat_ws: Missing separator to concat_ws')
})
