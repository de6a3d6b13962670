// osquery's mathematical functions (sqlite_math.cpp). SQLite's own of the same name differ: its log is decadic, its ceil
// and floor of a double are doubles, and outside the domain it answers NULL where osquery fails the statement.
import { asDouble, SqlFunctionError, unlessNull, type SqlFunction } from './define.ts'

const oneArgument: Record<string, (x: number) => number> = {
  sqrt: Math.sqrt,
  acos: Math.acos,
  asin: Math.asin,
  atan: Math.atan,
  cos: Math.cos,
  sin: Math.sin,
  tan: Math.tan,
  cot: (x) => 1 / Math.tan(x),
  exp: Math.exp,
  log: (x) => finite(Math.log(x)),
  log10: (x) => finite(Math.log10(x)),
  degrees: (x) => (180 * x) / Math.PI,
  radians: (x) => (x * Math.PI) / 180,
}

export const mathFunctions: readonly SqlFunction[] = [
  ...Object.entries(oneArgument).map(([name, compute]) => ({
    name,
    argumentCount: 1,
    call: unlessNull((value = 0n) => defined(compute(asDouble(value)))),
  })),
  {
    name: 'power',
    argumentCount: 2,
    call: unlessNull((base = 0n, exponent = 0n) => finite(defined(asDouble(base) ** asDouble(exponent)))),
  },
  rounding('ceil', Math.ceil),
  rounding('floor', Math.floor),
  { name: 'pi', argumentCount: 0, call: () => Math.PI },
]

function rounding(name: string, round: (x: number) => number): SqlFunction {
  return {
    name,
    argumentCount: 1,
    call: unlessNull((value = 0n) => {
      if (typeof value === 'bigint') return value
      const rounded = round(asDouble(value))
      if (!Number.isFinite(rounded) || Math.abs(rounded) >= 2 ** 63) {
        throw new SqlFunctionError('Numerical result out of range')
      }
      return BigInt(rounded)
    }),
  }
}

function defined(result: number): number {
  if (Number.isNaN(result)) throw new SqlFunctionError('Numerical argument out of domain')
  return result
}

function finite(result: number): number {
  if (result === Infinity || result === -Infinity) throw new SqlFunctionError('Numerical result out of range')
  return result
}
