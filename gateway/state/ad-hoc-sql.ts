// One SELECT over the site's state, as the sql process runs it: nothing but the site's tables is in reach, and rows
// and bytes are capped. Time and memory are the process's limits (sql-client.ts).
import Database from 'better-sqlite3'
import { AppError } from '../../lib/errors.ts'
import { blobCell, doubleCell, integerCell, type Cell } from '../../protocol/cells.ts'
import { buildSiteTable } from './site-tables.ts'

const selectStart = /^(explain\s+(query\s+plan\s+)?)?(select|with|values)\b/i

export interface SqlLimits {
  maxRows: number
  maxBytes: number
}

export interface SqlResult {
  columns: string[]
  rows: Cell[][]
  truncated?: 'rows' | 'bytes'
}

/**
 * Runs one statement that only reads. Throws AppError QUERY_INVALID with SQLite's own words, or QUERY_MEMORY.
 */
export function runSiteSql(state: Database.Database, sql: string, limits: SqlLimits, nowMs: number): SqlResult {
  // Before anything is prepared: some pragmas already act then.
  if (!selectStart.test(withoutComments(sql))) throw notSelect()
  const memory = new Database(':memory:')
  try {
    const statement = prepareWithTables(memory, state, sql, nowMs)
    if (!statement.reader || !statement.readonly) throw notSelect()
    // Whatever the statement tries, the tables are now fixed.
    memory.pragma('query_only = ON')
    const columns = statement.columns().map((column) => column.name)
    const rows: Cell[][] = []
    let bytes = 0
    for (const values of statement.raw(true).safeIntegers(true).iterate() as Iterable<unknown[]>) {
      if (rows.length >= limits.maxRows) return { columns, rows, truncated: 'rows' }
      const row = values.map(toCell)
      bytes += JSON.stringify(row).length
      if (bytes > limits.maxBytes) return { columns, rows, truncated: 'bytes' }
      rows.push(row)
    }
    return { columns, rows }
  } catch (error) {
    throw explain(error)
  } finally {
    memory.close()
  }
}

function prepareWithTables(
  memory: Database.Database,
  state: Database.Database,
  sql: string,
  nowMs: number,
): Database.Statement {
  for (;;) {
    try {
      return memory.prepare(sql)
    } catch (error) {
      const missing = /^no such table: (?:main\.)?(.+)$/.exec((error as Error).message)?.[1]
      if (missing === undefined || !buildSiteTable(memory, state, missing, nowMs)) throw error
    }
  }
}

function notSelect(): AppError {
  return new AppError('QUERY_INVALID', 'only one SELECT statement is allowed')
}

function toCell(value: unknown): Cell {
  if (value === null || typeof value === 'string') return value
  if (typeof value === 'bigint') return integerCell(value)
  if (typeof value === 'number') return doubleCell(value)
  return blobCell(value as Uint8Array)
}

function withoutComments(sql: string): string {
  return sql.replace(/^(\s|--[^\n]*(\n|$)|\/\*[\s\S]*?\*\/)+/, '')
}

function explain(error: unknown): AppError {
  if (error instanceof AppError) return error
  const message = (error as Error).message
  if ((error as { code?: string }).code === 'SQLITE_NOMEM' || /out of memory/.test(message)) {
    return new AppError('QUERY_MEMORY', 'the query needs more memory than it may use', {
      hint: 'select fewer columns or rows',
    })
  }
  const table = /^no such table: (.+)$/.exec(message)?.[1]
  return new AppError('QUERY_INVALID', message, {
    cause: error,
    ...(table === undefined
      ? {}
      : { hint: 'SELECT DISTINCT name, table_name FROM tidegate_tables lists what this site knows' }),
  })
}
