// Rows travel column by column: one array per column, all of one length. It compresses better than rows and keeps
// names out of every row.
import { checkCell, type Cell } from './cells.ts'
import { Refusal } from './refusal.ts'
import { limits } from './limits.ts'

export type RowCells = readonly Cell[]

/** `rows[c][r]`: the cell of column c in row r. */
export type Columnar = Cell[][]

export function toColumnar(columnCount: number, rows: readonly RowCells[]): Columnar {
  return Array.from({ length: columnCount }, (_, column) => rows.map((row) => row[column] ?? null))
}

export function toRows(columnar: readonly (readonly Cell[])[]): Cell[][] {
  const rowCount = columnar[0]?.length ?? 0
  return Array.from({ length: rowCount }, (_, row) => columnar.map((column) => column[row] ?? null))
}

/** Throws a Refusal unless `rows` holds one array per column, all equally long, of cells, within the limits. */
export function checkColumnar(columns: readonly string[], rows: unknown, field = 'rows'): asserts rows is Columnar {
  if (!Array.isArray(rows)) throw new Refusal('bad-shape', `${field} is not an array of columns`)
  if (rows.length !== columns.length) {
    throw new Refusal('bad-shape', `${field} has ${rows.length} columns, but ${columns.length} are named`)
  }
  let rowCount: number | undefined
  for (const [index, column] of (rows as unknown[]).entries()) {
    if (!Array.isArray(column)) throw new Refusal('bad-shape', `${field}[${index}] is not an array`)
    rowCount ??= column.length
    if (column.length !== rowCount) {
      throw new Refusal('bad-shape', `${field}[${index}] has ${column.length} cells, the first column has ${rowCount}`)
    }
    if (rowCount > limits.rowsPerRecord) throw new Refusal('too-many-rows', `${field} has ${rowCount} rows`)
    for (const cell of column as unknown[]) checkCell(cell)
  }
}
