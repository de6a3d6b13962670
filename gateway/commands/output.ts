// How every command prints: a box for people, JSON for scripts. Names from devices are made harmless for terminals there.
import { printable } from '../../lib/output/printable.ts'
import { renderTable } from '../../lib/output/table.ts'
import { formatDuration } from '../../lib/units.ts'

/** Prints to stdout; a reader that went away (`| head`) is no error. */
export function print(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException) => (error.code === 'EPIPE' ? resolve() : reject(error))
    process.stdout.once('error', failed)
    process.stdout.write(text, () => {
      process.stdout.removeListener('error', failed)
      resolve()
    })
  })
}

export function printJson(value: unknown): Promise<void> {
  return print(`${JSON.stringify(value, null, 2)}\n`)
}

/** Rows of named cells as a box, or `none` in words. */
export function printTable(rows: readonly Readonly<Record<string, string | number>>[], none: string): Promise<void> {
  const columns = Object.keys(rows[0] ?? {})
  const cells = rows.map((row) => columns.map((column) => String(row[column] ?? '')))
  return print(rows.length === 0 ? `${none}\n` : renderTable(columns, cells))
}

/** `label   value` lines. */
export function printFacts(facts: readonly (readonly [label: string, value: string])[]): Promise<void> {
  const width = Math.max(...facts.map(([label]) => label.length))
  return print(facts.map(([label, value]) => `${label.padEnd(width)}  ${printable(value)}\n`).join(''))
}

/** "3 min ago", "in 2 h". */
export function ago(atMs: number, nowMs = Date.now()): string {
  return atMs > nowMs ? `in ${formatDuration(atMs - nowMs)}` : `${formatDuration(nowMs - atMs)} ago`
}
