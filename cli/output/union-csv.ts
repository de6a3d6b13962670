// CSV over answers whose columns may differ: the header is their union, in the order in which they first appear.
import { renderCsv } from '../../lib/output/csv.ts'

export function unionCsv(
  parts: readonly { columns: readonly string[]; rows: readonly (readonly string[])[] }[],
): string {
  const columns = [...new Set(parts.flatMap((part) => part.columns))]
  const rows = parts.flatMap((part) => {
    const places = columns.map((column) => part.columns.indexOf(column))
    return part.rows.map((row) => places.map((place) => row[place] ?? ''))
  })
  return renderCsv(columns, rows)
}
