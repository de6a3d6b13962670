import { readFileSync } from 'node:fs'
import Database from 'better-sqlite3'
import { beforeEach, expect, test } from 'vitest'
import { appendAudit, listAudit, verifyAudit } from './audit-log.ts'

let database: Database.Database

beforeEach(() => {
  database = new Database(':memory:')
  database.exec(readFileSync(new URL('../store/migrations/0001_site.sql', import.meta.url), 'utf8'))
  for (let n = 1; n <= 5; n++) {
    appendAudit(database, { atMs: n, actor: 'centre', action: 'command-received', subject: `q-${n}`, detail: { n } })
  }
})

test('an untouched log verifies and lists its newest rows first', () => {
  expect(verifyAudit(database)).toMatchObject({ ok: true, rows: 5 })
  expect(listAudit(database, { limit: 2 }).map((row) => row.id)).toEqual([5, 4])
  expect(listAudit(database, { limit: 2, beforeId: 4 }).map((row) => row.id)).toEqual([3, 2])
  expect(listAudit(database, { limit: 9, subject: 'q-3' })).toMatchObject([{ id: 3, detail: { n: 3 } }])
})

test.each([
  ['a changed detail', "UPDATE audit SET detail = '{}' WHERE id = 3", 3],
  ['a changed time', 'UPDATE audit SET at_ms = 99 WHERE id = 2', 2],
  ['another actor', "UPDATE audit SET actor = 'plant' WHERE id = 1", 1],
  ['a changed hash', "UPDATE audit SET hash = replace(hash, substr(hash, 1, 1), 'x') WHERE id = 4", 4],
  ['a removed row', 'DELETE FROM audit WHERE id = 3', 3],
  ['removed newest rows', 'DELETE FROM audit WHERE id > 3', 4],
  ['an added row', "INSERT INTO audit VALUES (6, 6, 'plant', 'x', NULL, '{}', 'abc')", 6],
])('%s shows, with its place', (_what, tampering, brokenAt) => {
  database.exec(tampering)
  expect(verifyAudit(database)).toMatchObject({ ok: false, brokenAt })
})

test('rows that change places show', () => {
  database.exec(
    'UPDATE audit SET id = 100 WHERE id = 2; UPDATE audit SET id = 2 WHERE id = 3; UPDATE audit SET id = 3 WHERE id = 100',
  )
  expect(verifyAudit(database)).toMatchObject({ ok: false, brokenAt: 2 })
})
