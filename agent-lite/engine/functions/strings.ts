// split, regex_split, regex_match, concat, concat_ws, as osquery's sqlite_string.cpp has them. concat_ws differs from
// SQLite's own: a NULL separator is an empty one, and the separator stays when only NULLs follow.
import type { RawValue } from '../constraints.ts'
import { asIndex, asText, SqlFunctionError, unlessNull, type SqlFunction } from './define.ts'

export const stringFunctions: readonly SqlFunction[] = [
  {
    name: 'split',
    argumentCount: 3,
    call: unlessNull((text = '', separators = '', index = 0n) => {
      const any = new Set(checked(separators))
      const words: string[] = []
      let word = ''
      for (const character of asText(text)) {
        if (!any.has(character)) word += character
        else {
          words.push(word)
          word = ''
        }
      }
      const found = [...words, word].map((one) => one.trim()).filter((one) => one !== '')
      return found[asIndex(index)] ?? null
    }),
  },
  {
    name: 'regex_split',
    argumentCount: 3,
    call: unlessNull((text = '', pattern = '', index = 0n) => {
      const input = asText(text)
      const pieces: string[] = []
      let from = 0
      for (const match of input.matchAll(compile(checked(pattern), 'Invalid regex'))) {
        pieces.push(input.slice(from, match.index))
        from = match.index + match[0].length
      }
      if (from < input.length || pieces.length === 0) pieces.push(input.slice(from))
      return pieces[asIndex(index)] ?? null
    }),
  },
  {
    name: 'regex_match',
    argumentCount: 3,
    call: unlessNull((text = '', pattern = '', group = 0n) => {
      const expression = compile(asText(pattern), `Invalid regex: too big, max size is ${regexMaxBytes} bytes`)
      const match = expression.exec(asText(text))
      const index = asIndex(group)
      if (match === null || index < 0 || index >= match.length) return null
      // A group that took no part in the match is empty text.
      return match[index] ?? ''
    }),
  },
  {
    name: 'concat',
    argumentCount: -1,
    call: (...values) => (values.length === 0 ? null : join('', values)),
  },
  {
    name: 'concat_ws',
    argumentCount: -1,
    call: (...values) => {
      const [separator, ...rest] = values
      if (separator === undefined) throw new SqlFunctionError('Missing separator to concat_ws')
      return rest.length === 0 ? null : join(separator === null ? '' : asText(separator), rest)
    },
  },
]

function join(separator: string, values: readonly RawValue[]): string {
  return values
    .map((value, index) => (value === null ? '' : asText(value) + (index + 1 < values.length ? separator : '')))
    .join('')
}

function checked(value: Exclude<RawValue, null>): string {
  const text = asText(value)
  if (text === '') throw new SqlFunctionError('Invalid input to split function')
  return text
}

const regexMaxBytes = 256
const compiled = new Map<string, RegExp>()

function compile(pattern: string, tooBig: string): RegExp {
  const known = compiled.get(pattern)
  if (known !== undefined) {
    known.lastIndex = 0
    return known
  }
  if (Buffer.byteLength(pattern) > regexMaxBytes) throw new SqlFunctionError(tooBig)
  let expression: RegExp
  try {
    expression = new RegExp(pattern, 'g')
  } catch {
    throw new SqlFunctionError('Invalid regex')
  }
  // A statement rarely has more than a few patterns, unless it computes them.
  if (compiled.size >= 64) compiled.clear()
  compiled.set(pattern, expression)
  return expression
}
