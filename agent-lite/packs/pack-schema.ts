// Schedules and packs as osquery writes them, with what osquery lets pass: numbers and booleans as text. One thing is
// stricter: a key that is not known is an error, since a misspelt `snapshot` would silently change what is logged.
import * as z from 'zod'
import { limits } from '../../protocol/limits.ts'

const Flag = z.preprocess(
  (value) => {
    if (value === 1 || (typeof value === 'string' && /^(true|yes|1|t|y)$/i.test(value))) return true
    if (value === 0 || (typeof value === 'string' && /^(false|no|0|f|n)$/i.test(value))) return false
    return value
  },
  z.boolean({ error: 'must be true or false' }),
)

function wholeNumber(min: number, max: number) {
  const message = `must be a whole number from ${min} to ${max}`
  return z.preprocess(
    (value) => (typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value),
    z.int({ error: message }).min(min, message).max(max, message),
  )
}

const text = z.string({ error: 'must be text' })
/** A version such as 2.10 that YAML reads as a number has lost its last digit: only text is exact. */
const version = z.string({ error: 'must be text: write "2.10" in quotes' })

const conditions = { platform: text.optional(), version: version.optional(), shard: wholeNumber(0, 100).optional() }

/** Seconds; osquery's bounds. */
export const Interval = wholeNumber(1, 604_800)
export const Percent = wholeNumber(0, 100)

export const QueryDefinition = strictObject({
  query: text
    .refine((sql) => sql.trim() !== '', 'is empty')
    .refine((sql) => Buffer.byteLength(sql) <= limits.sqlBytes, `is longer than ${limits.sqlBytes} bytes`),
  interval: Interval.optional(),
  snapshot: Flag.default(false),
  removed: Flag.default(true),
  denylist: Flag.default(true),
  splay: Percent.optional(),
  ...conditions,
  description: text.optional(),
  value: text.optional(),
})
export type QueryDefinition = z.output<typeof QueryDefinition>

const reserved = /^(query|cache|config_views)\.|(epoch|counter)$/

export const Queries = z
  .record(z.string(), QueryDefinition, { error: 'must be an object of queries' })
  .superRefine((queries, context) => {
    for (const name of Object.keys(queries)) {
      if (!reserved.test(name)) continue
      const message =
        "is a name osquery reserves (begins with 'query.', 'cache.', 'config_views.' or ends with 'epoch', 'counter')"
      context.addIssue({ code: 'custom', path: [name], message })
    }
  })

export const Pack = strictObject({
  ...conditions,
  discovery: z.array(text.min(1)).default([]),
  description: text.optional(),
  queries: Queries.default({}),
})
export type Pack = z.output<typeof Pack>

/** An object without other keys than these; the message names the nearest known key. */
export function strictObject<S extends z.ZodRawShape>(shape: S) {
  return z.strictObject(shape, {
    error: (issue) => {
      if (issue.code !== 'unrecognized_keys') return undefined
      return issue.keys.map((key) => `unknown key '${key}'${didYouMean(key, Object.keys(shape))}`).join(', ')
    },
  })
}

function didYouMean(key: string, known: readonly string[]): string {
  if (key === 'blacklist') return ": osquery renamed it to 'denylist'"
  const nearest = known
    .map((name) => ({ name, distance: editDistance(key.toLowerCase(), name.toLowerCase()) }))
    .sort((left, right) => left.distance - right.distance)[0]
  return nearest !== undefined && nearest.distance <= 2 ? `: did you mean '${nearest.name}'?` : ''
}

/** Levenshtein's distance. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (const [index, letter] of [...from].entries()) {
    const next = [index + 1]
    for (let at = 1; at <= to.length; at++) {
      const replaced = (row[at - 1] ?? 0) + (letter === to[at - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[at] ?? 0) + 1, (next[at - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[to.length] ?? 0
}
