// Values between JavaScript and SQLite. On the way in, a reader's value takes its column's type as osquery casts it:
// INTEGER keeps the low 32 bits, what does not fit 64 bits or is not a number is NULL. On the way out, every value
// becomes a cell, which keeps 1 and 1.0 apart.
import { blobCell, doubleCell, integerCell, type Cell } from '../../protocol/cells.ts'
import type { ColumnType } from '../../protocol/tables.ts'
import type { SqlValue } from '../tables/define.ts'
import type { RawValue } from './constraints.ts'
import { SQLITE, type Sqlite } from './sqlite.ts'

/** Answers xColumn. */
export function resultOf(sqlite: Sqlite, context: number, type: ColumnType, value: SqlValue | undefined): void {
  if (value === null || value === undefined) return sqlite.c.sqlite3_result_null(context)
  switch (type) {
    case 'TEXT':
    case 'BLOB':
      if (value instanceof Uint8Array) return sqlite.resultBlob(context, value)
      return sqlite.resultText(context, String(value))
    case 'DOUBLE':
      return sqlite.c.sqlite3_result_double(context, Number(value))
    case 'INTEGER':
    case 'BIGINT':
    case 'UNSIGNED_BIGINT':
      return integerResult(sqlite, context, type, value)
  }
}

const int64Max = 2n ** 63n - 1n

function integerResult(sqlite: Sqlite, context: number, type: ColumnType, value: SqlValue): void {
  if (typeof value === 'number' && Number.isFinite(value)) {
    const whole = Math.trunc(value)
    if (type === 'INTEGER' || whole === (whole | 0)) return sqlite.c.sqlite3_result_int(context, whole | 0)
    return integerResult(sqlite, context, type, BigInt(whole))
  }
  if (typeof value !== 'bigint') return sqlite.c.sqlite3_result_null(context)
  if (type === 'INTEGER') return sqlite.c.sqlite3_result_int(context, Number(BigInt.asIntN(32, value)))
  if (value > int64Max || value < -int64Max - 1n) return sqlite.c.sqlite3_result_null(context)
  sqlite.c.sqlite3_result_int64(context, value)
}

/** Answers a SQL function: a bigint is an integer, a number a double. */
export function functionResult(sqlite: Sqlite, context: number, value: RawValue): void {
  if (value === null) return sqlite.c.sqlite3_result_null(context)
  if (typeof value === 'bigint') return sqlite.c.sqlite3_result_int64(context, value)
  if (typeof value === 'number') return sqlite.c.sqlite3_result_double(context, value)
  if (typeof value === 'string') return sqlite.resultText(context, value)
  sqlite.resultBlob(context, value)
}

/** A sqlite3_value, as an argument of a function or of xFilter. */
export function rawValue(sqlite: Sqlite, pointer: number): RawValue {
  const { c } = sqlite
  switch (c.sqlite3_value_type(pointer)) {
    case SQLITE.INTEGER:
      return c.sqlite3_value_int64(pointer)
    case SQLITE.FLOAT:
      return c.sqlite3_value_double(pointer)
    case SQLITE.TEXT: {
      const text = c.sqlite3_value_text(pointer)
      return sqlite.text(text, c.sqlite3_value_bytes(pointer))
    }
    case SQLITE.BLOB: {
      const blob = c.sqlite3_value_blob(pointer)
      return sqlite.bytes(blob, c.sqlite3_value_bytes(pointer))
    }
    default:
      return null
  }
}

/** A column of the row that sqlite3_step has just produced, and the bytes it counts for. */
export function columnCell(sqlite: Sqlite, statement: number, column: number): { cell: Cell; byteCount: number } {
  const { c } = sqlite
  switch (c.sqlite3_column_type(statement, column)) {
    case SQLITE.INTEGER: {
      // Exact below 2^53, and spares a bigint for nearly every value.
      const value = c.sqlite3_column_double(statement, column)
      const exact = Number.isSafeInteger(value) ? value : c.sqlite3_column_int64(statement, column)
      return { cell: integerCell(exact), byteCount: 8 }
    }
    case SQLITE.FLOAT:
      return { cell: doubleCell(c.sqlite3_column_double(statement, column)), byteCount: 8 }
    case SQLITE.TEXT: {
      const text = c.sqlite3_column_text(statement, column)
      const byteCount = c.sqlite3_column_bytes(statement, column)
      return { cell: sqlite.text(text, byteCount), byteCount }
    }
    case SQLITE.BLOB: {
      const blob = c.sqlite3_column_blob(statement, column)
      const byteCount = c.sqlite3_column_bytes(statement, column)
      return { cell: blobCell(sqlite.bytes(blob, byteCount)), byteCount }
    }
    default:
      return { cell: null, byteCount: 1 }
  }
}
