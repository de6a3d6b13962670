import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Fold } from '../../gateway/state/fold.ts'
import { SqlClient } from '../../gateway/state/sql-client.ts'
import { migrationsFolder } from '../../lib/program-file.ts'
import { openDatabase } from '../../lib/sqlite/open.ts'

const limits = { maxRows: 100, maxBytes: 100_000, timeoutMs: 20_000 }
let folder: string
let sql: SqlClient

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tg-sql-client-'))
  const statePath = join(folder, 'state.db')
  const state = openDatabase(statePath, { migrations: migrationsFolder('gateway', 'state') })
  new Fold(state).apply([
    {
      id: 1,
      device: 'press-1',
      epoch: 'epoch-0001',
      seq: 1,
      kind: 'snapshot',
      observedAtMs: Date.now(),
      receivedAtMs: Date.now(),
      body: JSON.stringify({ kind: 'snapshot', name: 'uptime', columns: ['days'], rows: [[3]] }),
    },
  ])
  state.close()
  sql = new SqlClient({ statePath, memoryBytes: 200 * 1_048_576, maxWaiting: 3 })
})
afterAll(async () => {
  await sql.close()
  rmSync(folder, { recursive: true })
})

const endless = 'WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c'

test('answers from the state file, and says what is wrong with a statement', async () => {
  expect(await sql.query('SELECT device, days FROM uptime', limits)).toEqual({
    columns: ['device', 'days'],
    rows: [['press-1', 3]],
  })
  await expect(sql.query('SELECT * FROM absent', limits)).rejects.toMatchObject({
    code: 'QUERY_INVALID',
    message: 'no such table: absent',
  })
})

test('a statement that never ends is stopped at its limit, and the next one is answered', async () => {
  await expect(sql.query(endless, { ...limits, timeoutMs: 300 })).rejects.toMatchObject({ code: 'QUERY_TIMEOUT' })
  expect((await sql.query('SELECT days FROM uptime', limits)).rows).toEqual([[3]])
})

test('a statement that takes all memory is stopped, and the next one is answered', async () => {
  await expect(sql.query('SELECT length(hex(zeroblob(400000000)))', limits)).rejects.toMatchObject({
    code: 'QUERY_MEMORY',
  })
  expect((await sql.query('SELECT days FROM uptime', limits)).rows).toEqual([[3]])
})

test('statements wait for each other up to a bound; one more is refused by name', async () => {
  const slow = [1, 2, 3].map(() => sql.query(endless, { ...limits, timeoutMs: 200 }).catch((error: unknown) => error))
  await expect(sql.query('SELECT 1', limits)).rejects.toMatchObject({ code: 'QUERIES_WAITING' })
  expect(await Promise.all(slow)).toMatchObject([
    { code: 'QUERY_TIMEOUT' },
    { code: 'QUERY_TIMEOUT' },
    { code: 'QUERY_TIMEOUT' },
  ])
})
