// Rows as `osqueryi --json` writes them: an array with one object per line, every value a string, keys in column order.

/** The array's text with a final newline. */
export function renderJson(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = rows.map((row) => `  ${renderJsonObject(columns, row)}`)
  return lines.length === 0 ? '[\n\n]\n' : `[\n${lines.join(',\n')}\n]\n`
}

/** One row as a JSON object in one line. Built by hand: a JavaScript object would put integer-like column names first. */
export function renderJsonObject(columns: readonly string[], row: readonly string[]): string {
  return `{${columns.map((column, index) => `${JSON.stringify(column)}:${JSON.stringify(row[index] ?? '')}`).join(',')}}`
}
