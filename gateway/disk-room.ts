// How large the journal may grow on this disk. A disk that is full to the last block is the one state that mends itself no
// more: without room to note a receipt nothing may be deleted. So the journal stops before that, and devices keep the rest.
import { mkdirSync, statfsSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** Left for site.db, state.db and the logs: what the gateway needs to empty the journal again. */
const reserveBytes = 256 * 1_048_576

/**
 * The configured limit, or less when the disk is smaller: what the journal has now and what is free, without a reserve
 * of 256 MiB, or half of what is free when that is little.
 */
export function journalLimitBytes(dataDir: string, configuredBytes: number): number {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  const { bavail, bsize } = statfsSync(dataDir)
  const freeBytes = bavail * bsize
  const heldBytes = statSync(join(dataDir, 'journal.db'), { throwIfNoEntry: false })?.size ?? 0
  return Math.min(configuredBytes, heldBytes + Math.max(freeBytes - reserveBytes, Math.floor(freeBytes / 2)))
}
