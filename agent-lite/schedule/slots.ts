// When a query is due: at the multiples of its interval since the Unix epoch, moved by an offset of its own. Wall-clock
// slots, unlike osquery's loop counter, do not drift when a run is slow, and the offset spreads a fleet that shares a
// schedule. It is drawn from a hash, so that a device keeps its slots over restarts.
import { createHash } from 'node:crypto'

export interface Slots {
  intervalMs: number
  /** At most half the interval, to either side. */
  offsetMs: number
}

/** The slots of one query on one device; `splayPercent` of the interval to either side, 0 for none. */
export function slotsOf(device: string, query: { name: string; intervalMs: number; splayPercent: number }): Slots {
  const { name, intervalMs, splayPercent } = query
  const hash = createHash('sha256').update(`${device}\n${name}`).digest().readUInt32BE(0) / 2 ** 32
  const spreadMs = (intervalMs * Math.min(splayPercent, 50)) / 100
  return { intervalMs, offsetMs: Math.round((hash * 2 - 1) * spreadMs) }
}

/** The first slot after a moment. */
export function nextSlotMs(slots: Slots, afterMs: number): number {
  return lastSlotMs(slots, afterMs) + slots.intervalMs
}

/** The newest slot at or before a moment. */
export function lastSlotMs({ intervalMs, offsetMs }: Slots, atMs: number): number {
  return Math.floor((atMs - offsetMs) / intervalMs) * intervalMs + offsetMs
}

/** How many slots lie after one moment, up to and including another. */
export function slotCount(slots: Slots, afterMs: number, untilMs: number): number {
  return Math.max(0, Math.round((lastSlotMs(slots, untilMs) - lastSlotMs(slots, afterMs)) / slots.intervalMs))
}
