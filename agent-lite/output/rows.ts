// Results as osqueryi prints them: a box, JSON, lines or CSV. Values are osquery's texts; NULL is empty.
import { cellToText, type Cell } from '../../protocol/cells.ts'

export type RowFormat = 'table' | 'json' | 'line' | 'csv'

export interface Printable {
  columns: readonly string[]
  rows: readonly (readonly Cell[])[]
}

/** The whole output, with its last newline; empty for a table, lines or CSV without rows. */
export function renderRows(format: RowFormat, result: Printable, { separator = ',', header = true } = {}): string {
  switch (format) {
    case 'table':
      return renderTable(result)
    case 'json':
      return renderJson(result)
    case 'line':
      return renderLines(result)
    case 'csv':
      return renderCsv(result, separator, header)
  }
}

function renderTable({ columns, rows }: Printable): string {
  if (rows.length === 0) return ''
  const names = columns.map(printable)
  const lines = rows.map((row) => row.map((cell) => printable(cellToText(cell))))
  const widths = names.map((name, index) =>
    lines.reduce((widest, line) => Math.max(widest, width(line[index] ?? '')), width(name)),
  )
  const rule = `+${widths.map((size) => '-'.repeat(size + 2)).join('+')}+\n`
  const draw = (line: readonly string[]) =>
    `| ${line.map((text, index) => text + ' '.repeat((widths[index] ?? 0) - width(text))).join(' | ')} |\n`
  return rule + draw(names) + rule + lines.map(draw).join('') + rule
}

function renderJson({ columns, rows }: Printable): string {
  // Of columns with the same name the last value counts, in the place of the first. Built by hand, since an object
  // would put names like "1" in front.
  const places = new Map<string, number>()
  columns.forEach((name, index) => places.set(name, index))
  const lines = rows.map((row) => {
    const members = [...places].map(
      ([name, index]) => `${JSON.stringify(name)}:${JSON.stringify(cellToText(row[index] ?? null))}`,
    )
    return `  {${members.join(',')}}`
  })
  return `[\n${lines.join(',\n')}\n]\n`
}

function renderLines({ columns, rows }: Printable): string {
  const names = columns.map(printable)
  const size = names.reduce((widest, name) => Math.max(widest, width(name)), 5)
  const record = (row: readonly Cell[]) =>
    names.map(
      (name, index) => `${' '.repeat(size - width(name))}${name} = ${printable(cellToText(row[index] ?? null))}\n`,
    )
  return rows.map((row) => record(row).join('')).join('\n')
}

function renderCsv({ columns, rows }: Printable, separator: string, header: boolean): string {
  const quote = (text: string) =>
    text.includes(separator) || /["\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
  const lines = rows.map((row) => row.map((cell) => quote(cellToText(cell))))
  return [...(header && rows.length > 0 ? [columns.map(quote)] : []), ...lines]
    .map((line) => `${line.join(separator)}\n`)
    .join('')
}

function width(text: string): number {
  return [...text].length
}

// A process may call itself anything: control characters must not reach the terminal.
function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (character) => {
    return `\\x${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`
  })
}
