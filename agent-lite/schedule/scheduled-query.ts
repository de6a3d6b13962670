// One entry of the schedule after packs, names and defaults are resolved: what the scheduler runs.

export interface ScheduledQuery {
  /** As it travels: the bare name from `schedule`, `pack_<pack>_<query>` from a pack. */
  name: string
  sql: string
  intervalMs: number
  /** Spread of its slots as a percentage of the interval, to either side. 0: exactly on the multiples. */
  splayPercent: number
  mode: 'snapshot' | 'differential'
  /** False: the result log leaves removed rows out. */
  logRemoved: boolean
  /** False: it runs even when it ended the engine before. */
  mayBeDenied: boolean
  /** The query runs only while each of these returns rows. */
  discovery: readonly string[]
}

/** The table when the statement is exactly `SELECT * FROM table`. */
export function wholeTable(sql: string): string | undefined {
  return /^\s*select\s+\*\s+from\s+"?([A-Za-z_][A-Za-z0-9_]*)"?\s*;?\s*$/i.exec(sql)?.[1]?.toLowerCase()
}
