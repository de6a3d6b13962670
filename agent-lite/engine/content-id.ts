// A row's id is its content: virtual tables of files and processes have no number of their own that stays the same
// from one scan to the next.
import { createHash } from 'node:crypto'
import type { SqlValue } from '../tables/define.ts'

/** 63 bits of SHA-1 over the row's columns and values; equal rows have equal ids. */
export function contentId(row: Readonly<Record<string, SqlValue | undefined>>): bigint {
  const hash = createHash('sha1')
  for (const [key, value] of Object.entries(row)) {
    if (value === null || value === undefined) continue
    hash.update(`${key}\0${typeof value}\0`)
    hash.update(value instanceof Uint8Array ? value : String(value))
    hash.update('\0')
  }
  return BigInt.asUintN(63, hash.digest().readBigUInt64LE())
}
