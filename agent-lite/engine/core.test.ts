import fc from 'fast-check'
import { beforeAll, expect, test } from 'vitest'
import { blobCell, doubleCell, integerCell, type Cell } from '../../protocol/cells.ts'
import type { SqlValue } from '../tables/define.ts'
import { testCore, testTable, type TestCore } from './core-for-tests.ts'

const types = ['TEXT', 'INTEGER', 'BIGINT', 'UNSIGNED_BIGINT', 'DOUBLE', 'BLOB'] as const
const values = Object.fromEntries(types.map((type) => [type.toLowerCase(), { type }]))

let given: Record<string, SqlValue | undefined>[] = []
let engine: TestCore
beforeAll(async () => {
  engine = await testCore([
    testTable('v', values, () => given),
    testTable('n', { n: { type: 'BIGINT' } }, function* ({ checkpoint }) {
      for (let n = 0; n < 1000; n += 1) {
        checkpoint()
        yield { n }
      }
    }),
  ])
})

function through(column: string, value: SqlValue | undefined): Cell | undefined {
  given = [{ [column]: value }]
  return engine.rows(`SELECT ${column} FROM v`)[0]?.[0]
}

test('a value that is missing or null is NULL', () => {
  for (const type of types) {
    expect(through(type.toLowerCase(), undefined)).toBeNull()
    expect(through(type.toLowerCase(), null)).toBeNull()
  }
})

test('INTEGER keeps the low 32 bits, as osquery casts it', () => {
  expect(through('integer', 2_147_483_648)).toBe(-2_147_483_648)
  expect(through('integer', 4_294_967_296 + 7)).toBe(7)
  expect(through('integer', -1)).toBe(-1)
  expect(through('integer', 2n ** 63n + 5n)).toBe(5)
  expect(through('integer', 1.9)).toBe(1)
})

test('64-bit integers stay exact, and what does not fit is NULL', () => {
  expect(through('bigint', 2 ** 53)).toEqual({ i: '9007199254740992' })
  expect(through('bigint', 2n ** 63n - 1n)).toEqual({ i: '9223372036854775807' })
  expect(through('bigint', -(2n ** 63n))).toEqual({ i: '-9223372036854775808' })
  expect(through('bigint', 2n ** 63n)).toBeNull()
  expect(through('unsigned_bigint', 2n ** 64n - 1n)).toBeNull()
  expect(through('unsigned_bigint', 4_294_967_296)).toBe(4_294_967_296)
  expect(through('bigint', NaN)).toBeNull()
  expect(through('bigint', '12')).toBeNull()
})

test('a whole double stays a double', () => {
  expect(through('double', 1)).toEqual({ d: '1' })
  expect(through('double', 0.1)).toBe(0.1)
  expect(through('double', NaN)).toBeNull()
  expect(through('double', 5n)).toEqual({ d: '5' })
})

test('a number in a text column is text', () => {
  expect(through('text', 5)).toBe('5')
  expect(engine.rows("SELECT typeof(text) FROM v WHERE text = '5'")).toEqual([['text']])
})

test('property: every value of every type comes back as its cell', () => {
  const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
  const text = fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: 'grapheme', maxLength: 3000 }))
  const row = fc.record({
    text: fc.option(text),
    integer: fc.option(fc.integer()),
    bigint: fc.option(int64),
    unsigned_bigint: fc.option(fc.maxSafeNat()),
    double: fc.option(fc.double({ noNaN: true })),
    blob: fc.option(fc.uint8Array()),
  })
  fc.assert(
    fc.property(fc.array(row, { maxLength: 5 }), (rows) => {
      given = rows
      const cells = rows.map((one) => [
        one.text,
        one.integer === null ? null : integerCell(one.integer),
        one.bigint === null ? null : integerCell(one.bigint),
        one.unsigned_bigint === null ? null : integerCell(one.unsigned_bigint),
        one.double === null ? null : doubleCell(one.double),
        one.blob === null ? null : blobCell(one.blob),
      ])
      expect(engine.rows('SELECT * FROM v')).toEqual(cells)
    }),
  )
})

test('an unpaired surrogate becomes U+FFFD, and NUL and a byte order mark survive', () => {
  expect(through('text', 'a\ud800b')).toBe('a\ufffdb')
  expect(through('text', '\ufeffa\0b')).toBe('\ufeffa\0b')
})

test('columns carry their declared type, expressions none, and a name that is too long is cut', () => {
  const long = `1${' + 1'.repeat(60)}`
  expect(engine.query(`SELECT integer, double AS d, 1 + 1, 2 AS "", ${long} FROM v`).columns).toEqual([
    { name: 'integer', type: 'INTEGER' },
    { name: 'd', type: 'DOUBLE' },
    { name: '1 + 1', type: '' },
    { name: 'column4', type: '' },
    { name: long.slice(0, 128), type: '' },
  ])
})

test('WITH, VALUES, recursion, EXPLAIN, JSON and comments around one statement are allowed', () => {
  const counting = 'WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 3) SELECT sum(x) FROM c'
  expect(engine.rows(counting)).toEqual([[6]])
  expect(engine.rows('VALUES (1), (2)')).toEqual([[1], [2]])
  expect(engine.rows("/* a */ SELECT value FROM json_each('[1]'); -- b\n ;")).toEqual([[1]])
  expect(engine.rows('EXPLAIN QUERY PLAN SELECT * FROM n')[0]?.[3]).toMatch(/SCAN n/)
  expect(engine.rows("SELECT name FROM pragma_table_info('n')")).toEqual([['n']])
})

test('everything but one SELECT is refused by name', () => {
  const refused: Record<string, string> = {
    "ATTACH '/etc/passwd' AS p": 'ATTACH is not allowed',
    'DETACH main': 'DETACH is not allowed',
    'PRAGMA journal_mode = off': 'PRAGMA is not allowed',
    'PRAGMA hard_heap_limit = 1': 'PRAGMA is not allowed',
    'PRAGMA case_sensitive_like = 1': 'PRAGMA is not allowed',
    'INSERT INTO n VALUES (1)': 'INSERT is not allowed',
    'UPDATE n SET n = 1': 'table n may not be modified',
    'DELETE FROM n': 'table n may not be modified',
    'CREATE TABLE t(a)': 'changing the schema is not allowed',
    'CREATE TEMP TABLE t(a)': 'changing the schema is not allowed',
    'CREATE VIEW w AS SELECT 1': 'changing the schema is not allowed',
    'CREATE VIRTUAL TABLE w USING n': 'changing the schema is not allowed',
    BEGIN: 'TRANSACTION is not allowed',
    'SAVEPOINT s': 'SAVEPOINT is not allowed',
    VACUUM: 'the statement is not a SELECT',
    "VACUUM INTO '/tmp/x'": 'the statement is not a SELECT',
    REINDEX: 'the statement is not a SELECT',
    ANALYZE: 'changing the schema is not allowed',
    "SELECT load_extension('x')": 'no such function: load_extension',
    "SELECT fts3_tokenizer('x')": 'no such function: fts3_tokenizer',
    "SELECT sqlite_log(1, 'x')": 'function sqlite_log is not allowed',
    'SELECT * FROM pragma_database_list': 'pragma database_list is not allowed',
    'SELECT * FROM sqlite_dbpage': 'no such table: sqlite_dbpage',
    'SELECT * FROM sqlite_stmt': 'no such table: sqlite_stmt',
    'SELECT 1; SELECT 2': 'more than one statement',
    'SELECT 1; DROP TABLE n': 'changing the schema is not allowed',
    '': 'there is no SQL statement',
    '-- nothing': 'there is no SQL statement',
    'SELECT 1\0': 'the SQL contains a NUL character',
    'SELEC 1': 'near "SELEC": syntax error',
    'SELECT nope FROM n': 'no such column: nope',
    'SELECT * FROM nope': 'no such table: nope',
  }
  for (const [sql, message] of Object.entries(refused)) {
    expect(`${sql} → ${engine.error(sql)}`).toBe(`${sql} → QUERY_INVALID: ${message}`)
  }
  expect(engine.error(`SELECT 1 --${'x'.repeat(32_768)}`)).toBe(
    'QUERY_INVALID: the SQL has 32779 bytes, the limit is 32768',
  )
  expect(engine.error(`SELECT ${Array(257).fill('1').join()}`)).toMatch(/more than 256 columns/)
  expect(engine.rows('SELECT 1')).toEqual([[1]])
})

test('property: no text makes the engine fail otherwise than by refusing it', () => {
  const words = fc.constantFrom('SELECT', '*', 'FROM', 'n', 'v', '(', ')', ',', 'WHERE', 'IN', '1', "'", '"', ';', '--')
  const sql = fc.oneof(
    fc.string(),
    fc.array(words, { maxLength: 12 }).map((some) => some.join(' ')),
  )
  fc.assert(
    fc.property(sql, (text) => {
      expect(engine.error(text, { maxRows: 10 })).toMatch(/^(no error|QUERY_INVALID: )/)
    }),
    { numRuns: 500 },
  )
})

test('rows beyond the limit are left out and the result says so', () => {
  const { rows, truncated } = engine.query('SELECT n FROM n', { maxRows: 10 })
  expect(rows.map(([n]) => n)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  expect(truncated).toBe('rows')
  expect(engine.query('SELECT n FROM n', { maxRows: 1000 })).not.toHaveProperty('truncated')
})

test('bytes beyond the limit are left out and the result says so', () => {
  const { rows, truncated } = engine.query("SELECT 'ü' || substr(n + 1000, 2) FROM n", { maxBytes: 52 })
  expect(rows).toHaveLength(10)
  expect(truncated).toBe('bytes')
})

test('rows are handed over in batches while the statement runs', () => {
  const sizes: number[] = []
  engine.query('SELECT n FROM n', { onRows: (rows) => sizes.push(rows.length) })
  expect(sizes).toEqual([500, 500])
})

test('a value that is too large fails the query, a result cell at 1 MiB, any other at 4 MiB', () => {
  expect(engine.error('SELECT zeroblob(1048577)')).toBe('QUERY_MEMORY: a value has 1048577 bytes, the limit is 1048576')
  expect(engine.rows('SELECT length(hex(zeroblob(1048577)))')).toEqual([[2_097_154]])
  expect(engine.error('SELECT length(randomblob(4194305))')).toMatch(/^QUERY_MEMORY: a value inside .* 4 MiB$/)
  expect(engine.error('SELECT length(group_concat(hex(randomblob(9000)))) FROM n')).toMatch(/^QUERY_MEMORY/)
  expect(engine.rows('SELECT 1')).toEqual([[1]])
})

test('a query that needs more memory than allowed fails, and the next one runs', async () => {
  const small = await testCore(
    [testTable('n', { n: { type: 'BIGINT' } }, () => [1, 2, 3, 4, 5, 6, 7, 8].map((n) => ({ n })))],
    {
      memoryMaxBytes: 16 * 1_048_576,
    },
  )
  const sql = 'SELECT * FROM (SELECT a.n, hex(randomblob(100000)) x FROM n a, n b, n c ORDER BY x)'
  expect(small.error(sql)).toBe('QUERY_MEMORY: the query needs more than 16 MiB of memory')
  expect(small.rows('SELECT n FROM n WHERE n = 3')).toEqual([[3]])
  expect(small.core.memoryBytes).toBeLessThanOrEqual(16 * 1_048_576)
})

test('deeply nested SQL is refused, not a crash', () => {
  expect(engine.error(`SELECT ${'('.repeat(15_000)}1${')'.repeat(15_000)}`)).toMatch(/^QUERY_INVALID/)
  expect(engine.error(`SELECT ${'-'.repeat(1).concat(' -'.repeat(12_000))}1`)).toMatch(/^QUERY_INVALID/)
  expect(engine.error(`SELECT 1 ${'UNION ALL SELECT 1 '.repeat(700)}`)).toMatch(/^QUERY_INVALID/)
  expect(engine.rows('SELECT 1')).toEqual([[1]])
})

const endless = 'WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c'

test('an endless recursion and a cartesian join end at the time limit', async () => {
  for (const sql of [endless, 'SELECT count(*) FROM n a, n b, n c, n d WHERE a.n + b.n + c.n + d.n = -1']) {
    let now = 0
    const clocked = await testCore(
      [testTable('n', { n: { type: 'BIGINT' } }, () => Array.from({ length: 1000 }, (_, n) => ({ n })))],
      { nowMs: () => (now += 1) },
    )
    expect(clocked.error(sql, { timeoutMs: 5000 })).toBe('QUERY_TIMEOUT: the query ran longer than 5 s')
    expect(clocked.rows('SELECT 1')).toEqual([[1]])
  }
})

test('a reader that calls checkpoint ends at the time limit, even when it catches everything', async () => {
  let now = 0
  const stubborn = testTable('stubborn', { n: { type: 'BIGINT' } }, function* ({ checkpoint }) {
    for (;;) {
      try {
        checkpoint()
      } catch {
        yield { n: 1 }
      }
    }
  })
  const clocked = await testCore([stubborn], { nowMs: () => (now += 1) })
  expect(clocked.error('SELECT * FROM stubborn', { timeoutMs: 100 })).toMatch(/^QUERY_TIMEOUT/)
})

test('a cancelled query ends as cancelled', () => {
  let asks = 0
  expect(engine.error(endless, { isCancelled: () => ++asks > 3 })).toBe('QUERY_CANCELLED: the query was cancelled')
  asks = 0
  expect(engine.error('SELECT * FROM n', { isCancelled: () => ++asks > 3 })).toMatch(/^QUERY_CANCELLED/)
})

test('after a stack overflow inside a statement the engine refuses to go on', async () => {
  const deep = (n: number): number => deep(n + 1) + 1
  const table = testTable('deep', { n: { type: 'BIGINT' } }, () => [{ n: deep(0) }])
  const { error } = await testCore([table])
  expect(error('SELECT n FROM deep')).toMatch(/^ENGINE_DIED: the SQL engine failed: table deep: Maximum call stack/)
  expect(error('SELECT 1')).toBe('ENGINE_DIED: the SQL engine failed: it failed before')
})

test('statistics tell time and memory of the statement', () => {
  const { stats } = engine.query('SELECT hex(zeroblob(100000))')
  expect(stats.memoryBytes).toBeGreaterThan(200_000)
  expect(engine.query('SELECT 1').stats.memoryBytes).toBeLessThan(stats.memoryBytes)
  expect(stats.wallTimeMs).toBeGreaterThanOrEqual(0)
  expect(stats.userTimeMs).toBeGreaterThanOrEqual(0)
})

test('prepare names columns, tables and those whose required column is missing, without running anything', async () => {
  const path = { path: { type: 'TEXT', required: true, index: true } } as const
  const files = testTable('file', path, [])
  const hashes = testTable('hash', { ...path, sha256: { type: 'TEXT' } }, [])
  const { core } = await testCore([files, hashes])
  expect(core.prepare("SELECT f.path, sha256 FROM file f JOIN hash USING (path) WHERE f.path = '/x'")).toEqual({
    columns: [
      { name: 'path', type: 'TEXT' },
      { name: 'sha256', type: 'TEXT' },
    ],
    tables: [
      { name: 'file', isRequiredMissing: false },
      { name: 'hash', isRequiredMissing: false },
    ],
  })
  expect(core.prepare('SELECT count(*) AS n FROM hash')).toEqual({
    columns: [{ name: 'n', type: '' }],
    tables: [{ name: 'hash', isRequiredMissing: true }],
  })
  expect([files.asks, hashes.asks]).toEqual([[], []])
  expect(() => core.prepare('SELECT nope FROM file')).toThrow('no such column: nope')
})
