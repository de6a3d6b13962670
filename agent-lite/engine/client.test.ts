import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { localFacts } from '../facts.ts'
import { Engine, type EngineOptions } from './client.ts'

const folder = mkdtempSync(join(tmpdir(), 'engine-'))
const workerFile = pathToFileURL(join(folder, 'worker.mjs'))
const facts = { ...localFacts(), version: '7' }
const endless = 'WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c'

beforeAll(async () => {
  await build({
    entryPoints: [fileURLToPath(new URL('./worker-for-tests.ts', import.meta.url))],
    bundle: true,
    platform: 'node',
    format: 'esm',
    outfile: fileURLToPath(workerFile),
  })
  const wasm = fileURLToPath(import.meta.resolve('@sqlite.org/sqlite-wasm/sqlite3.wasm'))
  copyFileSync(wasm, join(folder, 'sqlite3.wasm'))
})
afterAll(() => rmSync(folder, { recursive: true }))

let engine: Engine
const open = (options: EngineOptions = {}) => new Engine({ workerFile, graceMs: 100, ...options })
beforeEach(() => {
  engine = open()
})
afterEach(() => engine.close())

const code = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'no error',
    (error: Error & { code?: string }) => error.code ?? error.message,
  )
const works = async () => expect((await engine.query('SELECT n FROM numbers LIMIT 1', { facts })).rows).toEqual([[0]])

test('rows, columns, warnings and statistics come from the worker', async () => {
  const result = await engine.query('SELECT n, text, 1.0 AS d FROM numbers WHERE n = 1999', { facts })
  expect(result).toMatchObject({
    columns: [
      { name: 'n', type: 'BIGINT' },
      { name: 'text', type: 'TEXT' },
      { name: 'd', type: '' },
    ],
    rows: [[1999, 'row 1999', { d: '1' }]],
    warnings: ['agent 7'],
  })
  expect(result.stats.memoryBytes).toBeGreaterThan(0)
})

test('many rows arrive in batches and in order', async () => {
  const sizes: number[] = []
  const seen: unknown[] = []
  const result = await engine.query('SELECT n FROM numbers', {
    facts,
    maxRows: 1750,
    onRows: (rows, columns) => {
      sizes.push(rows.length)
      seen.push(...rows.map(([n]) => n))
      expect(columns).toEqual([{ name: 'n', type: 'BIGINT' }])
    },
  })
  expect(sizes).toEqual([500, 500, 500, 250])
  expect(seen).toEqual(Array.from({ length: 1750 }, (_, n) => n))
  expect(result).toMatchObject({ rows: [], truncated: 'rows' })
})

test('what takes the rows may end the query by throwing', async () => {
  for (const rest of ['', ` UNION ALL SELECT * FROM (${endless})`]) {
    const onRows = () => {
      throw new Error('the outbox is full')
    }
    await expect(engine.query(`SELECT n FROM numbers${rest}`, { facts, onRows })).rejects.toThrow('the outbox is full')
  }
  await works()
})

test('queries run one after the other, each with its own rows', async () => {
  const results = await Promise.all(
    [1, 2, 3].map((n) => engine.query(`SELECT ${n} FROM numbers LIMIT ${n}`, { facts })),
  )
  expect(results.map(({ rows }) => rows)).toEqual([[[1]], [[2], [2]], [[3], [3], [3]]])
})

test('an invalid query is refused and the worker stays', async () => {
  expect(await code(engine.query('SELECT nope', { facts }))).toBe('QUERY_INVALID')
  await works()
})

test('prepare tells columns and tables', async () => {
  expect(await engine.prepare('SELECT text FROM numbers')).toEqual({
    columns: [{ name: 'text', type: 'TEXT' }],
    tables: [{ name: 'numbers', isRequiredMissing: false }],
  })
  expect(await code(engine.prepare('DROP TABLE numbers'))).toBe('QUERY_INVALID')
})

test('a query that runs too long ends, and the next one works', async () => {
  expect(await code(engine.query(endless, { facts, timeoutMs: 50 }))).toBe('QUERY_TIMEOUT')
  await works()
})

test('a cartesian join ends at its time limit', async () => {
  const join = 'SELECT count(*) FROM numbers a, numbers b, numbers c WHERE a.n + b.n + c.n < 0'
  expect(await code(engine.query(join, { facts, timeoutMs: 50 }))).toBe('QUERY_TIMEOUT')
  await works()
})

test('a reader that never yields is ended from outside, and the next query gets a new worker', async () => {
  expect(await code(engine.query('SELECT * FROM stuck', { facts, timeoutMs: 50 }))).toBe('QUERY_TIMEOUT')
  await works()
})

test('a catastrophic regular expression is ended from outside', async () => {
  const sql = `SELECT regex_match('${'a'.repeat(60)}', '^(a+)+$x', 0) || regex_match('${'a'.repeat(60)}b', '^(a|a)*$', 0)`
  expect(await code(engine.query(sql, { facts, timeoutMs: 50 }))).toBe('QUERY_TIMEOUT')
  await works()
})

test('a running query can be cancelled, a reader that does not listen is ended', async () => {
  for (const next of [endless, 'SELECT n FROM stuck']) {
    const stop = new AbortController()
    const sql = `SELECT n FROM numbers UNION ALL SELECT * FROM (${next})`
    expect(await code(engine.query(sql, { facts, signal: stop.signal, onRows: () => stop.abort() }))).toBe(
      'QUERY_CANCELLED',
    )
  }
  await works()
})

test('a query that waits for its turn is cancelled at once', async () => {
  const stop = new AbortController()
  const first = new AbortController()
  const running = code(engine.query(endless, { facts, signal: first.signal }))
  const waiting = code(engine.query('SELECT 1', { facts, signal: stop.signal }))
  stop.abort()
  expect(await waiting).toBe('QUERY_CANCELLED')
  first.abort()
  expect(await running).toBe('QUERY_CANCELLED')
  expect(await code(engine.query('SELECT 1', { facts, signal: AbortSignal.abort() }))).toBe('QUERY_CANCELLED')
  await works()
})

test('SQLite, a reader and a value beyond the memory limit end the query, not the agent', async () => {
  await engine.close()
  engine = open({ memoryMaxBytes: 24 * 1_048_576 })
  const sorted = 'SELECT * FROM (SELECT n, hex(randomblob(50000)) x FROM numbers ORDER BY x)'
  expect(await code(engine.query(sorted, { facts }))).toBe('QUERY_MEMORY')
  await works()
  expect(await code(engine.query('SELECT * FROM greedy', { facts }))).toBe('QUERY_MEMORY')
  await works()
  expect(await code(engine.query('SELECT length(zeroblob(900000000))', { facts }))).toBe('QUERY_MEMORY')
  await works()
})

test('one query may have another memory limit than the rest', async () => {
  const sql = 'SELECT max(length(x)) FROM (SELECT hex(randomblob(20000)) x FROM numbers LIMIT 500)'
  const sorted = sql.replace('LIMIT', 'ORDER BY x LIMIT')
  expect(await code(engine.query(sorted, { facts, memoryMaxBytes: 16 * 1_048_576 }))).toBe('QUERY_MEMORY')
  expect((await engine.query(sorted, { facts, memoryMaxBytes: 128 * 1_048_576 })).rows).toEqual([[40_000]])
  await works()
})

test('a worker that dies in a query is reported and replaced', async () => {
  expect(await code(engine.query('SELECT * FROM crash', { facts }))).toBe('ENGINE_DIED')
  await works()
})

test('a closed engine refuses queries', async () => {
  await works()
  await engine.close()
  expect(await code(engine.query('SELECT 1', { facts }))).toBe('ENGINE_DIED')
})
