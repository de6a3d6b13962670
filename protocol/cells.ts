// A cell is one SQL value as JSON carries it, type and all: what the agent's engine produces, the outbox stores, MQTT
// and segments carry, and both stores keep. Plain JSON where that is unambiguous, a one-key object where it is not:
//   NULL null · text "…" · integer within 2^53 5 · other integer {"i":"…"} · fractional double 1.5 · other double {"d":"1"} · blob {"b":base64}
import { Refusal } from './refusal.ts'
import { limits } from './limits.ts'

export type Cell = null | string | number | { i: string } | { d: string } | { b: string }

/** A value as SQLite bindings take and give it. Integers that are to stay integers are bigint. */
export type SqlValue = null | string | number | bigint | Uint8Array

/** Integer cell: a plain number within ±(2^53-1), else `{i}`. */
export function integerCell(value: number | bigint): Cell {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? value + 0 : { i: BigInt(value).toString() }
  const small = Number(value)
  return Number.isSafeInteger(small) ? small : { i: value.toString() }
}

/** Double cell: a plain number when it has a fraction, else `{d}`. NaN becomes NULL, as in SQLite. */
export function doubleCell(value: number): Cell {
  if (Number.isNaN(value)) return null
  if (Number.isFinite(value) && !Number.isInteger(value)) return value
  return { d: Object.is(value, -0) ? '-0' : String(value) }
}

export function blobCell(bytes: Uint8Array): Cell {
  return { b: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64') }
}

/** What to bind so that SQLite stores the cell's own type: integers as bigint, doubles as number. */
export function cellToSql(cell: Cell): SqlValue {
  if (cell === null || typeof cell === 'string') return cell
  if (typeof cell === 'number') return Number.isInteger(cell) ? BigInt(cell) : cell
  if ('i' in cell) return BigInt(cell.i)
  if ('d' in cell) return Number(cell.d)
  return Buffer.from(cell.b, 'base64')
}

/** The text osquery would log: NULL as "", doubles with 15 significant digits and ".0" (castvariant.h), blobs as they are. */
export function cellToText(cell: Cell): string {
  if (cell === null) return ''
  if (typeof cell === 'string') return cell
  if (typeof cell === 'number') return Number.isInteger(cell) ? String(cell) : doubleText(cell)
  if ('i' in cell) return cell.i
  if ('d' in cell) return doubleText(Number(cell.d))
  return Buffer.from(cell.b, 'base64').toString('latin1')
}

/** A double as osquery prints it: C++ `%.15g`, with ".0" appended to whole numbers. */
export function doubleText(value: number): string {
  if (value === Infinity) return 'inf'
  if (value === -Infinity) return '-inf'
  if (Number.isNaN(value)) return ''
  const exponent = value === 0 ? 0 : Number(value.toExponential(14).split('e')[1])
  if (exponent < -5 || exponent >= 15) {
    const [mantissa = '0', power = '+0'] = value.toExponential(14).split('e')
    const digits = power.replace(/[+-]/, '').padStart(2, '0')
    const short = mantissa.includes('.') ? mantissa.replace(/\.?0+$/, '') : mantissa
    return `${short}e${power.startsWith('-') ? '-' : '+'}${digits}`
  }
  const fixed = value.toFixed(Math.max(0, 14 - exponent))
  const short = fixed.includes('.') ? fixed.replace(/\.?0+$/, '') : fixed
  const text = Object.is(value, -0) ? '-0' : short
  return text.includes('.') ? text : `${text}.0`
}

/** A string that is equal exactly when two cells have the same type and value; osquery's differ compares so. */
export function cellKey(cell: Cell): string {
  return JSON.stringify(cell)
}

const integerText = /^-?(0|[1-9][0-9]{0,18})$/
const base64Text = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/
const int64Min = -(2n ** 63n)
const int64Max = 2n ** 63n - 1n

/** Throws a Refusal unless `value`, fresh from JSON.parse, is a cell in canonical form. */
export function checkCell(value: unknown): asserts value is Cell {
  if (value === null) return
  if (typeof value === 'number') {
    if (Number.isSafeInteger(value) || (Number.isFinite(value) && !Number.isInteger(value))) return
    throw new Refusal('bad-shape', `${value} is not exact as a JSON number: write {"i":"…"} or {"d":"…"}`)
  }
  if (typeof value === 'string') {
    if (value.length > limits.cellBytes) throw new Refusal('cell-too-large', `a cell of ${value.length} characters`)
    return
  }
  if (typeof value === 'object' && !Array.isArray(value)) {
    const keys = Object.keys(value)
    const key = keys[0]
    const text = key === undefined ? undefined : (value as Record<string, unknown>)[key]
    if (keys.length === 1 && typeof text === 'string') {
      if (text.length > limits.cellBytes * 1.4)
        throw new Refusal('cell-too-large', `a cell of ${text.length} characters`)
      if (key === 'i' && integerText.test(text) && BigInt(text) >= int64Min && BigInt(text) <= int64Max) return
      if (key === 'd' && text !== '' && (String(Number(text)) === text || text === '-0') && text !== 'NaN') return
      if (key === 'b' && base64Text.test(text)) return
    }
  }
  throw new Refusal('bad-shape', `not a cell: ${JSON.stringify(value).slice(0, 80)}`)
}
