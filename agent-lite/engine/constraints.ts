// The values of pushed-down conditions, as readers get them. Comparisons follow the column's type as SQLite's affinity
// does, so that a reader of an integer column only ever sees integers. Empty text is dropped, as osquery does: the
// reader scans as if unasked and SQLite filters.
import { doubleText } from '../../protocol/cells.ts'
import type { Constraint, SqlValue } from '../tables/define.ts'
import type { Plan, PushedTerm } from './plan.ts'

/** A value straight from SQLite: integers are bigint, doubles are number. */
export type RawValue = null | bigint | number | string | Uint8Array

export interface Asked {
  /** By column key. */
  constraints: ReadonlyMap<string, readonly Constraint[]>
  /** No row can match: the reader need not run. */
  isEmpty: boolean
}

/** `values[i]` belongs to `plan.pushed[i]`: one value, or several for IN. */
export function ask(plan: Plan, values: readonly (readonly RawValue[])[]): Asked {
  const constraints = new Map<string, Constraint[]>()
  let isEmpty = false
  plan.pushed.forEach((term, index) => {
    const asked = (values[index] ?? []).map((value) => convert(term, value))
    const possible = asked.filter((value) => value !== never)
    if (possible.length === 0) isEmpty = true
    // Of a required column the rest still leads to rows; of any other, dropping one of many would hide rows.
    if (possible.includes(dropped) && !term.column.spec.required) return
    const { key } = term.column
    for (const value of possible) {
      if (value === dropped) continue
      constraints.set(key, [...(constraints.get(key) ?? []), { operator: term.operator, value: value as SqlValue }])
    }
  })
  if (plan.layout.hasRequired) {
    isEmpty ||= !plan.pushed.some(({ column }) => column.spec.required && constraints.has(column.key))
  }
  return { constraints, isEmpty }
}

const never = Symbol('matches no row')
const dropped = Symbol('says nothing to the reader')

function convert({ column, operator }: PushedTerm, value: RawValue): SqlValue | typeof never | typeof dropped {
  if (value === null) return never
  const isText = column.spec.type === 'TEXT' || column.spec.type === 'BLOB'
  if (isText || operator === 'LIKE' || operator === 'GLOB') {
    if (value instanceof Uint8Array || value === '') return dropped
    return typeof value === 'number' ? doubleText(value) : String(value)
  }
  const number = value instanceof Uint8Array ? undefined : toNumber(value)
  if (number === undefined) return operator === '=' ? never : dropped
  if (column.spec.type === 'DOUBLE') return Number(number)
  if (typeof number === 'bigint') return shortest(number)
  if (Number.isInteger(number)) return shortest(BigInt(number))
  return operator === '=' ? never : number
}

const integerText = /^[+-]?[0-9]+$/
const decimalText = /^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?$/i

function toNumber(value: bigint | number | string): bigint | number | undefined {
  if (typeof value !== 'string') return value
  const text = value.trim()
  if (integerText.test(text)) return BigInt(text.replace('+', ''))
  return decimalText.test(text) ? Number(text) : undefined
}

function shortest(value: bigint): number | bigint {
  const small = Number(value)
  return Number.isSafeInteger(small) ? small : value
}
