// A SQL function that osquery has and SQLite lacks, or that both have with different results. Pure: values in, value
// out. Adding one costs an entry in its family's list.
import { doubleText } from '../../../protocol/cells.ts'
import type { RawValue } from '../constraints.ts'

export interface SqlFunction {
  name: string
  /** -1: any number. */
  argumentCount: number
  /** An integer result is a bigint, a double a number. A thrown SqlFunctionError fails the statement with its message. */
  call(...values: RawValue[]): RawValue
}

export class SqlFunctionError extends Error {}

/** The text SQLite would make of a value that is not NULL. */
export function asText(value: Exclude<RawValue, null>): string {
  if (typeof value === 'string') return value
  if (typeof value === 'bigint') return value.toString()
  if (typeof value === 'number') return doubleText(value)
  return Buffer.from(value).toString('utf8')
}

const integerPrefix = /^\s*[+-]?[0-9]+/
const decimalPrefix = /^\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?/i

/** sqlite3_value_double: text counts as far as it looks like a number. */
export function asDouble(value: RawValue): number {
  if (typeof value === 'number' || typeof value === 'bigint') return Number(value)
  if (value === null) return 0
  return Number(decimalPrefix.exec(asText(value))?.[0] ?? 0)
}

/** sqlite3_value_int, for an index: doubles are cut, text counts as far as it looks like a number. */
export function asIndex(value: RawValue): number {
  if (typeof value === 'string' || value instanceof Uint8Array)
    return Number(integerPrefix.exec(asText(value))?.[0] ?? 0)
  return Math.trunc(Number(value))
}

/** NULL as soon as one argument is NULL, as most functions answer. */
export function unlessNull(
  call: (...values: Exclude<RawValue, null>[]) => RawValue,
): (...values: RawValue[]) => RawValue {
  return (...values) => (values.includes(null) ? null : call(...(values as Exclude<RawValue, null>[])))
}
