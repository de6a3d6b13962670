import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterAll, expect, test } from 'vitest'
import { DenyList } from './deny-list.ts'

const log = pino({ level: 'silent' })
const folder = mkdtempSync(join(tmpdir(), 'deny-'))
afterAll(() => rmSync(folder, { recursive: true }))
const dayMs = 86_400_000

test('a statement is denied for a day, also after a restart, and others are not', () => {
  const path = join(folder, 'a.json')
  let nowMs = 1000
  new DenyList(path, log, () => nowMs).add('SELECT 1', 'ate the memory')
  const list = new DenyList(path, log, () => nowMs)
  expect(list.reasonFor('SELECT 1')).toBe('ate the memory')
  expect(list.reasonFor('SELECT  1')).toBeUndefined()
  expect(statSync(path).mode & 0o777).toBe(0o600)
  nowMs += dayMs
  expect(list.reasonFor('SELECT 1')).toBeUndefined()
})

test('a clock that was set back denies nothing for longer than a day', () => {
  let nowMs = 10 * dayMs
  const list = new DenyList(join(folder, 'b.json'), log, () => nowMs)
  list.add('SELECT 1', 'x')
  nowMs = 0
  expect(list.entries()).toEqual([])
})

test('a damaged file denies nothing and is replaced by the next entry', () => {
  const path = join(folder, 'c.json')
  writeFileSync(path, '[{"sqlSha256":')
  const list = new DenyList(path, log)
  expect(list.entries()).toEqual([])
  list.add('SELECT 1', 'x')
  expect(new DenyList(path, log).reasonFor('SELECT 1')).toBe('x')
})
