import { beforeEach, expect, test } from 'vitest'
import type { ColumnSpec } from '../../protocol/tables.ts'
import type { SqlValue } from '../tables/define.ts'
import { testCore, testTable, type TestCore, type TestTable } from './core-for-tests.ts'

const people = [
  { uid: 0, name: 'root', shell: '/bin/sh', home: '/root', score: 1.5 },
  { uid: 1, name: 'daemon', shell: '/bin/false', home: '/usr', score: 2 },
  { uid: 1000, name: 'ada', shell: '/bin/sh', home: '/home/ada', score: 2.25 },
  { uid: 1001, name: '', shell: '/bin/sh', home: '/home/x', score: null },
]

let users: TestTable
let orders: TestTable
let files: TestTable
let engine: TestCore

beforeEach(async () => {
  users = testTable(
    'people',
    {
      uid: { type: 'BIGINT', index: true },
      name: { type: 'TEXT', index: true },
      shell: { type: 'TEXT' },
      home: { type: 'TEXT', additional: true, aliases: ['directory'] },
      score: { type: 'DOUBLE', additional: true },
      secret: { type: 'TEXT', hidden: true },
    },
    people.map((row) => ({ ...row, secret: `s-${row.name}` })),
    { aliases: ['persons'] },
  )
  orders = testTable('orders', { uid: { type: 'BIGINT', index: true }, item: { type: 'TEXT' } }, [
    { uid: 1000, item: 'bolt' },
    { uid: 1000, item: 'nut' },
    { uid: 0, item: 'gear' },
  ])
  files = testTable(
    'paths',
    {
      path: { type: 'TEXT', required: true, index: true },
      directory: { type: 'TEXT', required: true },
      kind: { type: 'TEXT', optimized: true, additional: true },
      size: { type: 'BIGINT' },
    },
    ({ equals, likes }) => [...equals('path'), ...likes('path')].map((path) => ({ path, directory: '/d', size: 5 })),
  )
  engine = await testCore([users, orders, files])
})

const asked = (table: TestTable) => table.asks.map(({ constraints }) => constraints)

test('an equality on an index column reaches the reader, and SQLite still filters what comes back', () => {
  expect(engine.rows('SELECT name FROM people WHERE uid = 1000')).toEqual([['ada']])
  expect(asked(users)).toEqual([{ uid: [{ operator: '=', value: 1000 }] }])
})

test('a condition on a column that is not index, required or additional stays with SQLite', () => {
  expect(engine.rows("SELECT name FROM people WHERE shell = '/bin/false'")).toEqual([['daemon']])
  expect(asked(users)).toEqual([{}])
})

test('IN on an index column reaches the reader in one scan with all values', () => {
  expect(engine.rows('SELECT uid FROM people WHERE uid IN (0, 1, 77)')).toEqual([[0], [1]])
  expect(asked(users)).toEqual([
    {
      uid: [
        { operator: '=', value: 0 },
        { operator: '=', value: 1 },
        { operator: '=', value: 77 },
      ],
    },
  ])
})

test('IN on an optimized column reaches the reader in one scan, on a plain additional column one value at a time', () => {
  engine.rows("SELECT * FROM paths WHERE path = '/x' AND kind IN ('a', 'b')")
  expect(asked(files)).toEqual([
    {
      path: [{ operator: '=', value: '/x' }],
      kind: [
        { operator: '=', value: 'a' },
        { operator: '=', value: 'b' },
      ],
    },
  ])
  expect(engine.rows("SELECT uid FROM people WHERE home IN ('/root', '/usr')")).toEqual([[0], [1]])
  expect(asked(users)).toEqual([
    { home: [{ operator: '=', value: '/root' }] },
    { home: [{ operator: '=', value: '/usr' }] },
  ])
})

test('LIKE and GLOB on an index column reach the reader', () => {
  expect(engine.rows("SELECT uid FROM people WHERE name LIKE 'A%'")).toEqual([[1000]])
  expect(engine.rows("SELECT uid FROM people WHERE name GLOB 'd*'")).toEqual([[1]])
  expect(asked(users)).toEqual([
    { name: [{ operator: 'LIKE', value: 'A%' }] },
    { name: [{ operator: 'GLOB', value: 'd*' }] },
  ])
})

test('ranges reach the reader on numbers, never on text', () => {
  expect(engine.rows('SELECT uid FROM people WHERE uid >= 1 AND uid < 1001')).toEqual([[1], [1000]])
  expect(engine.rows("SELECT uid FROM people WHERE name > 'd'")).toEqual([[0], [1]])
  expect(engine.rows('SELECT uid FROM people WHERE score <= 2 AND score > 1')).toEqual([[0], [1]])
  expect(asked(users)).toEqual([
    {
      uid: [
        { operator: '>=', value: 1 },
        { operator: '<', value: 1001 },
      ],
    },
    {},
    {
      score: [
        { operator: '<=', value: 2 },
        { operator: '>', value: 1 },
      ],
    },
  ])
})

test('a join looks the inner table up by its index column, once per outer row', () => {
  const sql = "SELECT item FROM people p JOIN orders o USING (uid) WHERE p.shell = '/bin/sh' ORDER BY item"
  expect(engine.rows(sql)).toEqual([['bolt'], ['gear'], ['nut']])
  expect(asked(users)).toEqual([{}])
  expect(asked(orders).map(({ uid }) => uid?.[0]?.value)).toEqual([0, 1000, 1001])
})

test('a required column is fed by a join, whichever table is written first', () => {
  const paths = testTable('wanted', { path: { type: 'TEXT' } }, [{ path: '/a' }, { path: '/b' }])
  return testCore([files, paths]).then(({ rows }) => {
    expect(rows('SELECT f.path FROM paths f JOIN wanted w ON f.path = w.path')).toEqual([['/a'], ['/b']])
    expect(rows('SELECT path FROM paths WHERE path IN (SELECT path FROM wanted)')).toEqual([['/a'], ['/b']])
    expect(asked(files).map(({ path }) => path?.map(({ value }) => value))).toEqual([['/a'], ['/b'], ['/a', '/b']])
  })
})

test('without a condition on any required column the statement fails with the words of osquery', () => {
  const message = 'QUERY_INVALID: Table paths was queried without a required column in the WHERE clause'
  expect(engine.error('SELECT * FROM paths')).toBe(message)
  expect(engine.error('SELECT * FROM paths WHERE size = 5')).toBe(message)
  expect(engine.error('SELECT * FROM paths p LEFT JOIN people ON p.path = people.home')).toBe(message)
  expect(asked(files)).toEqual([])
  expect(engine.error("SELECT * FROM paths WHERE directory = '/d'")).toBe('no error')
})

test('an empty text on a required column satisfies it and finds nothing, without asking the reader', () => {
  expect(engine.rows("SELECT * FROM paths WHERE path = ''")).toEqual([])
  expect(engine.rows("SELECT * FROM paths WHERE path LIKE ''")).toEqual([])
  expect(engine.rows('SELECT * FROM paths WHERE path = NULL')).toEqual([])
  expect(asked(files)).toEqual([])
  expect(engine.rows("SELECT path FROM paths WHERE path IN ('', '/x')")).toEqual([['/x']])
})

test('an empty text on another column is not handed down, and rows with empty text are found', () => {
  expect(engine.rows("SELECT uid FROM people WHERE name = ''")).toEqual([[1001]])
  expect(engine.rows("SELECT uid FROM people WHERE name IN ('', 'ada')")).toEqual([[1000], [1001]])
  expect(asked(users)).toEqual([{}, {}])
})

test('a reader of an integer column only sees integers', () => {
  expect(engine.rows("SELECT uid FROM people WHERE uid = '1000'")).toEqual([[1000]])
  expect(engine.rows("SELECT uid FROM people WHERE uid = ' +1e3 '")).toEqual([[1000]])
  expect(engine.rows('SELECT uid FROM people WHERE uid = 1000.0')).toEqual([[1000]])
  const thousand = { uid: [{ operator: '=', value: 1000 }] }
  expect(asked(users)).toEqual([thousand, thousand, thousand])
  for (const nothing of ["'../../etc'", "''", "'12abc'", '1.5', 'NULL', "x'31'"]) {
    expect(engine.rows(`SELECT uid FROM people WHERE uid = ${nothing}`)).toEqual([])
  }
  expect(users.asks).toHaveLength(3)
})

test('a number compared with a text column reaches the reader as SQLite writes it', () => {
  engine.rows('SELECT 1 FROM people WHERE name = 5')
  engine.rows('SELECT 1 FROM people WHERE name = 2.50')
  expect(asked(users)).toEqual([{ name: [{ operator: '=', value: '5' }] }, { name: [{ operator: '=', value: '2.5' }] }])
})

test('an equality under another collation stays with SQLite', () => {
  expect(engine.rows("SELECT uid FROM people WHERE name = 'ADA' COLLATE NOCASE")).toEqual([[1000]])
  expect(asked(users)).toEqual([{}])
})

test('a column declared NOCASE compares so and still reaches the reader', async () => {
  const cards = testTable('cards', { mac: { type: 'TEXT', index: true, collate: 'NOCASE' } }, [{ mac: 'AA:BB' }])
  const { rows } = await testCore([cards])
  expect(rows("SELECT mac FROM cards WHERE mac = 'aa:bb'")).toEqual([['AA:BB']])
  expect(asked(cards)).toEqual([{ mac: [{ operator: '=', value: 'aa:bb' }] }])
})

test('hidden columns are left out of * and can be named', () => {
  expect(engine.query('SELECT * FROM people').columns.map(({ name }) => name)).toEqual([
    'uid',
    'name',
    'shell',
    'home',
    'score',
  ])
  expect(engine.rows("SELECT secret FROM people WHERE name = 'ada'")).toEqual([['s-ada']])
})

test('a column alias reads and constrains its column', () => {
  expect(engine.rows("SELECT uid, directory FROM people WHERE directory = '/root'")).toEqual([[0, '/root']])
  expect(users.asks).toEqual([{ constraints: { home: [{ operator: '=', value: '/root' }] }, used: ['uid', 'home'] }])
})

test('a table alias is the same table', () => {
  expect(engine.rows('SELECT name FROM persons WHERE uid = 0')).toEqual([['root']])
  expect(engine.core.prepare('SELECT name FROM persons').tables).toEqual([{ name: 'people', isRequiredMissing: false }])
})

test('the reader knows which columns result or conditions need', () => {
  engine.rows("SELECT name FROM people WHERE shell = 'x'")
  engine.rows('SELECT count(*) FROM people')
  engine.rows('SELECT * FROM people')
  expect(users.asks.map(({ used }) => used)).toEqual([['name', 'shell'], [], ['uid', 'name', 'shell', 'home', 'score']])
})

test('from the 64th column on, one used column makes all of them count as used', async () => {
  const names = Array.from({ length: 70 }, (_, index) => `c${index}`)
  const columns = Object.fromEntries(names.map((name): [string, ColumnSpec] => [name, { type: 'BIGINT' }]))
  const wide = testTable('wide', columns, [{ c62: 62, c69: 69 }])
  const { rows } = await testCore([wide])
  expect(rows('SELECT c62 FROM wide')).toEqual([[62]])
  expect(rows('SELECT c69 FROM wide')).toEqual([[69]])
  expect(wide.asks.map(({ used }) => used)).toEqual([['c62'], names.slice(63)])
})

test('LIMIT takes no more rows from the reader than it needs, and lets it clean up', async () => {
  let isClosed = false
  const endless = testTable('endless', { n: { type: 'BIGINT' } }, function* () {
    try {
      for (let n = 0; ; n += 1) yield { n }
    } finally {
      isClosed = true
    }
  })
  const { rows } = await testCore([endless])
  expect(rows('SELECT n FROM endless LIMIT 2')).toEqual([[0], [1]])
  expect(endless.yieldedCount).toBeLessThanOrEqual(3)
  expect(isClosed).toBe(true)
})

test('an inner scan without conditions is read twice at most, however often the join repeats it', async () => {
  const left = testTable('l', { a: { type: 'TEXT' } }, [{ a: 'x' }, { a: 'y' }, { a: 'z' }, { a: 'x' }])
  const right = testTable('r', { a: { type: 'TEXT' }, b: { type: 'BIGINT' } }, [
    { a: 'x', b: 1 },
    { a: 'z', b: 2 },
  ])
  const { rows } = await testCore([left, right])
  expect(rows('SELECT l.a, r.b FROM l CROSS JOIN r ON l.a = r.a')).toEqual([
    ['x', 1],
    ['z', 2],
    ['x', 1],
  ])
  expect(right.asks).toHaveLength(2)
})

test('OR over two index columns finds every row once', () => {
  expect(engine.rows("SELECT uid FROM people WHERE uid = 1000 OR name = 'root' OR name = 'ada' ORDER BY 1")).toEqual([
    [0],
    [1000],
  ])
})

test('equal rows of one table are all counted, also under OR', async () => {
  const twice = testTable('twice', { a: { type: 'TEXT', index: true }, b: { type: 'TEXT', index: true } }, [
    { a: 'x', b: 'y' },
    { a: 'x', b: 'y' },
  ])
  const { rows } = await testCore([twice])
  expect(rows("SELECT count(*) FROM twice WHERE a = 'x' OR b = 'y'")).toEqual([[2]])
})

test('a reader that throws fails the query with the table and its reason', async () => {
  const table = testTable('broken', { a: { type: 'TEXT' } }, function* () {
    yield { a: 'one' }
    throw new Error('cannot read /dev/x: I/O error')
  })
  const engine = await testCore([table])
  expect(engine.error('SELECT * FROM broken')).toBe('TABLE_FAILED: table broken: cannot read /dev/x: I/O error')
  expect(engine.rows('SELECT a FROM broken LIMIT 1')).toEqual([['one']])
})

test('warnings of readers travel beside the rows, each once, and their number is bounded', async () => {
  const table = testTable('noisy', { a: { type: 'BIGINT' } }, function* ({ warn }) {
    for (let a = 0; a < 300; a += 1) {
      warn(`cannot read ${a % 150}`)
      yield { a }
    }
  })
  const { query } = await testCore([table])
  const { rows, warnings } = query('SELECT a FROM noisy')
  expect(rows).toHaveLength(300)
  expect(warnings).toHaveLength(100)
  expect(warnings[98]).toBe('cannot read 98')
  expect(warnings[99]).toMatch(/^\d+ more warnings$/)
})

test('column names that are SQL keywords work', async () => {
  const table = testTable('odd', { group: { type: 'TEXT' }, order: { type: 'BIGINT', index: true } }, [
    { group: 'g', order: 1 },
  ])
  const { rows } = await testCore([table])
  expect(rows('SELECT "group", "order" FROM odd WHERE "order" = 1')).toEqual([['g', 1]])
})

test('root is told when a table of user files is asked for no user in particular', async () => {
  const table = testTable('keys', { uid: { type: 'BIGINT', additional: true }, key: { type: 'TEXT' } }, [{ uid: 1 }], {
    userData: true,
  })
  const { query } = await testCore([table, users])
  const warning =
    'The keys table returns data based on the current user by default, consider JOINing against the users table'
  expect(query('SELECT * FROM keys').warnings).toEqual(process.geteuid?.() === 0 ? [warning] : [])
  expect(query('SELECT * FROM keys JOIN people USING (uid)').warnings).toEqual([])
})

test('osquery facts, the device and a checkpoint reach the reader', async () => {
  const seen: SqlValue[] = []
  const table = testTable('self', { pid: { type: 'BIGINT' } }, function* ({ agent, device, checkpoint }) {
    checkpoint()
    seen.push(device.root)
    yield { pid: agent.pid }
  })
  const { rows } = await testCore([table], { root: '/proc' })
  expect(rows('SELECT pid FROM self')).toEqual([[process.pid]])
  expect(seen).toEqual(['/proc'])
})
