import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { migrationsFolder } from '../../lib/program-file.ts'
import { openDatabase, type Database } from '../../lib/sqlite/open.ts'
import { runSiteSql } from './ad-hoc-sql.ts'
import { Fold, type FoldInput } from './fold.ts'

const nowMs = 1_700_000_060_000
const limits = { maxRows: 1000, maxBytes: 1_000_000 }
let folder: string
let state: Database.Database

function snapshot(
  id: number,
  device: string,
  name: string,
  table: string | undefined,
  columns: string[],
  rows: unknown[][],
): FoldInput {
  return {
    id,
    device,
    epoch: `epoch-${device}`,
    seq: id,
    kind: 'snapshot',
    observedAtMs: nowMs - 60_000,
    receivedAtMs: nowMs - 59_000,
    body: JSON.stringify({ kind: 'snapshot', name, columns, rows, ...(table === undefined ? {} : { table }) }),
  }
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tg-sql-'))
  state = openDatabase(join(folder, 'state.db'), { migrations: migrationsFolder('gateway', 'state') })
  new Fold(state).apply([
    snapshot(
      1,
      'press-1',
      'pack_inv_procs',
      'processes',
      ['pid', 'name'],
      [
        [1, { i: '9007199254740993' }],
        ['init', 'big'],
      ],
    ),
    snapshot(2, 'press-2', 'pack_inv_procs', 'processes', ['pid', 'name', 'path'], [[7], ['sshd'], [null]]),
    snapshot(3, 'press-1', 'mounts', undefined, ['device', 'path'], [['/dev/sda1'], ['/']]),
    snapshot(4, 'press-1', 'values', undefined, ['v'], [[null, 1.5, { d: '1' }, { b: 'AAE=' }, 'x']]),
  ])
})
afterAll(() => {
  state.close()
  rmSync(folder, { recursive: true })
})

test('a whole-table snapshot answers under the table name, across devices, with its age', () => {
  const result = runSiteSql(
    state,
    'SELECT device, pid, name, age_s, observed_at FROM processes ORDER BY device, name DESC',
    limits,
    nowMs,
  )
  expect(result.columns).toEqual(['device', 'pid', 'name', 'age_s', 'observed_at'])
  expect(result.rows).toEqual([
    ['press-1', 1, 'init', 60, 1_700_000_000],
    ['press-1', { i: '9007199254740993' }, 'big', 60, 1_700_000_000],
    ['press-2', 7, 'sshd', 60, 1_700_000_000],
  ])
})

test('a scheduled query answers under its own name, and devices that lack a column give NULL', () => {
  const { rows } = runSiteSql(
    state,
    'SELECT path FROM pack_inv_procs WHERE device = ?1 OR 1 LIMIT 1'.replace('?1', "'x'"),
    limits,
    nowMs,
  )
  expect(rows).toEqual([[null]])
})

test("a query's own device column keeps its name and the site's is called site_device", () => {
  expect(runSiteSql(state, 'SELECT site_device, device FROM mounts', limits, nowMs).rows).toEqual([
    ['press-1', '/dev/sda1'],
  ])
})

test('every type of value comes back as it was sent', () => {
  expect(runSiteSql(state, 'SELECT v FROM "values"', limits, nowMs).rows.flat()).toEqual([
    null,
    1.5,
    { d: '1' },
    { b: 'AAE=' },
    'x',
  ])
})

test('joins tables of different queries', () => {
  const sql = 'SELECT p.name, m.path FROM processes p JOIN mounts m ON m.site_device = p.device WHERE p.pid = 1'
  expect(runSiteSql(state, sql, limits, nowMs).rows).toEqual([['init', '/']])
})

test('lists devices and tables', () => {
  expect(runSiteSql(state, 'SELECT device FROM tidegate_devices', limits, nowMs).rows).toEqual([
    ['press-1'],
    ['press-2'],
  ])
  expect(
    runSiteSql(state, "SELECT count(*) FROM tidegate_tables WHERE table_name = 'processes'", limits, nowMs).rows,
  ).toEqual([[2]])
})

test('caps rows and says so', () => {
  expect(runSiteSql(state, 'SELECT * FROM processes', { ...limits, maxRows: 2 }, nowMs)).toMatchObject({
    truncated: 'rows',
    rows: { length: 2 },
  })
  expect(runSiteSql(state, 'SELECT * FROM processes', { ...limits, maxBytes: 60 }, nowMs).truncated).toBe('bytes')
})

test.each([
  ['CREATE TABLE x (y)', /only one SELECT/],
  ["INSERT INTO mounts VALUES ('a', 1, 1, 'b', 'c')", /only one SELECT/],
  ['DELETE FROM processes', /only one SELECT/],
  ["ATTACH DATABASE '/etc/passwd' AS x", /only one SELECT/],
  ['PRAGMA hard_heap_limit = 0', /only one SELECT/],
  ["-- a comment\nPRAGMA journal_mode = 'DELETE'", /only one SELECT/],
  ['EXPLAIN PRAGMA hard_heap_limit = 0', /only one SELECT/],
  ["VACUUM INTO '/nowhere/x'", /only one SELECT/],
  ['SELECT 1; SELECT 2', /more than one statement/],
  ["SELECT load_extension('x')", /not authorized|no such function/],
  ['SELECT nope FROM processes', /no such column: nope/],
  ['SELECT * FROM absent', /no such table: absent/],
  ['SELECT FROM', /syntax error/],
  ['', /only one SELECT/],
])('refuses %j', (sql, message) => {
  expect(() => runSiteSql(state, sql, limits, nowMs)).toThrow(message)
})
