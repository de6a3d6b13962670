// A table whose rows arrive one answer at a time: the header is drawn with the first of them, columns only ever widen.
import { displayWidth, printable } from '../../lib/output/printable.ts'

export class StreamingTable {
  #columns: readonly string[] = []
  #widths: number[] = []
  #isOpen = false

  /** Text for rows that have just come; a header before them when there is none yet, or when the columns changed. */
  rows(columns: readonly string[], rows: readonly (readonly string[])[]): string {
    if (rows.length === 0) return ''
    const isSame =
      this.#isOpen && columns.length === this.#columns.length && columns.every((name, i) => name === this.#columns[i])
    const lines = [...(isSame ? [] : [columns]), ...rows].map((row) => columns.map((_, i) => printable(row[i] ?? '')))
    const start = isSame ? this.#widths : columns.map(() => 0)
    const before = isSame ? '' : this.end()
    this.#widths = start.map((width, i) =>
      lines.reduce((most, line) => Math.max(most, displayWidth(line[i] ?? '')), width),
    )
    this.#columns = columns
    this.#isOpen = true
    const drawn = lines.map((line) => this.#draw(line))
    return isSame ? drawn.join('') : [before, this.#rule(), drawn[0], this.#rule(), ...drawn.slice(1)].join('')
  }

  /** The last line of the table. */
  end(): string {
    if (!this.#isOpen) return ''
    this.#isOpen = false
    return this.#rule()
  }

  #rule(): string {
    return `+${this.#widths.map((width) => '-'.repeat(width + 2)).join('+')}+\n`
  }

  #draw(line: readonly string[]): string {
    const cells = this.#widths.map((width, i) => {
      const text = line[i] ?? ''
      return ` ${text}${' '.repeat(Math.max(0, width - displayWidth(text)))} `
    })
    return `|${cells.join('|')}|\n`
  }
}
