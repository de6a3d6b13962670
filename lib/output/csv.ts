// Rows as CSV. RFC 4180 says CRLF, but every Unix tool and osqueryi's own mode expect LF.

export interface CsvOptions {
  /** `,` unless told; osqueryi's --csv uses `|`. */
  separator?: string
  /** True unless told: the first line names the columns. */
  header?: boolean
}

/** The rows' text; a field is quoted when it holds the separator, a quote or a line break. Bytes are not altered otherwise. */
export function renderCsv(
  columns: readonly string[],
  rows: readonly (readonly string[])[],
  { separator = ',', header = true }: CsvOptions = {},
): string {
  const line = (fields: readonly string[]) =>
    `${columns.map((_, index) => quote(fields[index] ?? '', separator)).join(separator)}\n`
  return [...(header ? [columns] : []), ...rows].map(line).join('')
}

function quote(field: string, separator: string): string {
  return field.includes(separator) || /["\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field
}
