// What one statement may do: read tables and call functions. Everything SQLite asks about that is not named here is
// refused, so that a new kind of statement in a new SQLite is refused too.
import { SQLITE } from './sqlite.ts'

// Action codes of sqlite3.h.
const actions = new Map<number, string>([
  [1, 'CREATE INDEX'],
  [2, 'CREATE TABLE'],
  [3, 'CREATE TEMP INDEX'],
  [4, 'CREATE TEMP TABLE'],
  [5, 'CREATE TEMP TRIGGER'],
  [6, 'CREATE TEMP VIEW'],
  [7, 'CREATE TRIGGER'],
  [8, 'CREATE VIEW'],
  [9, 'DELETE'],
  [10, 'DROP INDEX'],
  [11, 'DROP TABLE'],
  [12, 'DROP TEMP INDEX'],
  [13, 'DROP TEMP TABLE'],
  [14, 'DROP TEMP TRIGGER'],
  [15, 'DROP TEMP VIEW'],
  [16, 'DROP TRIGGER'],
  [17, 'DROP VIEW'],
  [18, 'INSERT'],
  [19, 'PRAGMA'],
  [20, 'READ'],
  [21, 'SELECT'],
  [22, 'TRANSACTION'],
  [23, 'UPDATE'],
  [24, 'ATTACH'],
  [25, 'DETACH'],
  [26, 'ALTER TABLE'],
  [27, 'REINDEX'],
  [28, 'ANALYZE'],
  [29, 'CREATE VIRTUAL TABLE'],
  [30, 'DROP VIRTUAL TABLE'],
  [31, 'FUNCTION'],
  [32, 'SAVEPOINT'],
  [33, 'RECURSIVE'],
])

// osquery's list (sqlite_util.h); they are reached as table-valued functions, pragma_table_info('processes').
const pragmas = new Set([
  'table_info',
  'table_xinfo',
  'function_list',
  'journal_mode',
  'case_sensitive_like',
  'collation_list',
])

// load_extension and fts3_tokenizer run foreign code where they are compiled in; the rest reach into SQLite itself.
const functions = new Set(['load_extension', 'fts3_tokenizer', 'fts5', 'rtreecheck', 'sqlite_log', 'sqlite_offset'])

export interface Verdict {
  code: number
  /** Why not, for people. */
  reason?: string
}

/**
 * Judges one action. `isPreparing`: the statement's own text is being read, as opposed to a pragma that one of its
 * table-valued functions runs; a PRAGMA statement is refused.
 */
export function authorize(action: number, first: string, second: string, isPreparing: boolean): Verdict {
  const name = actions.get(action) ?? `action ${action}`
  switch (name) {
    case 'READ':
    case 'SELECT':
    case 'RECURSIVE':
      return { code: SQLITE.OK }
    case 'FUNCTION':
      if (!functions.has(second.toLowerCase())) return { code: SQLITE.OK }
      return { code: SQLITE.DENY, reason: `function ${second} is not allowed` }
    case 'PRAGMA':
      if (!isPreparing && pragmas.has(first.toLowerCase())) return { code: SQLITE.OK }
      return { code: SQLITE.DENY, reason: isPreparing ? 'PRAGMA is not allowed' : `pragma ${first} is not allowed` }
    default: {
      // CREATE and ANALYZE begin by writing to the schema.
      const isSchema = first === 'sqlite_master' || first === 'sqlite_temp_master'
      return { code: SQLITE.DENY, reason: `${isSchema ? 'changing the schema' : name} is not allowed` }
    }
  }
}
