// Rows as SQLite's and osqueryi's line mode write them: one `column = value` per line, a blank line between rows.
import { printable } from './printable.ts'

/** The rows' text with a final newline; '' when there are none. Column names are right-aligned. */
export function renderLines(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const width = columns.reduce((widest, column) => Math.max(widest, column.length), 0)
  return rows
    .map((row) =>
      columns.map((column, index) => `${column.padStart(width)} = ${printable(row[index] ?? '')}\n`).join(''),
    )
    .join('\n')
}
