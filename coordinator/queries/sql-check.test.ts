import { expect, test } from 'vitest'
import { checkSql } from './sql-check.ts'

test.each([
  'SELECT 1',
  'select 1;',
  '  -- why\n/* and ; how */ SELECT * FROM processes;  -- done; really',
  'WITH a AS (SELECT 1) SELECT * FROM a',
  '(SELECT 1)',
  'SELECT \';\' AS "a;b", `c;d`, [e;f] -- ; ',
  "SELECT 'it''s; fine'",
  'VALUES (1)',
  'EXPLAIN SELECT 1',
])('passes %s', (sql) => {
  expect(() => checkSql(sql)).not.toThrow()
})

test.each([
  ['', /no statement/],
  ['-- nothing', /no statement/],
  [';;', /no statement/],
  ['SELECT 1; DROP TABLE x', /2 statements/],
  ["SELECT ''; DELETE FROM x --'", /2 statements/],
  ['DELETE FROM users', /starts with DELETE/],
  ['/* SELECT */ PRAGMA x', /starts with PRAGMA/],
  ['ATTACH ":memory:" AS x', /starts with ATTACH/],
  ['selection', /starts with selection/],
])('refuses %s', (sql, why) => {
  expect(() => checkSql(sql)).toThrow(why)
})
