// Rows as osqueryi's default mode draws them: a box of +, - and |.
import { displayWidth, printable } from './printable.ts'

/** The whole box with a final newline, or '' when there are no rows (as osqueryi). Cells are made printable. */
export function renderTable(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return ''
  const lines = [columns, ...rows].map((row) => columns.map((_, index) => printable(row[index] ?? '')))
  const widths = columns.map((_, index) =>
    lines.reduce((width, line) => Math.max(width, displayWidth(line[index] ?? '')), 0),
  )
  const rule = `+${widths.map((width) => '-'.repeat(width + 2)).join('+')}+\n`
  const draw = (line: readonly string[]) =>
    `|${widths.map((width, index) => ` ${pad(line[index] ?? '', width)} `).join('|')}|\n`
  const [head = [], ...body] = lines
  return [rule, draw(head), rule, ...body.map(draw), rule].join('')
}

function pad(text: string, width: number): string {
  return text + ' '.repeat(width - displayWidth(text))
}
