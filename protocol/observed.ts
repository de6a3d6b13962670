// When something was observed, as well as the gateway can tell. Devices without a clock of their own are the rule in
// plants: what such a device says is right as a difference, even when it is decades off.

/** Before this no agent of ours existed: a device that claims an earlier time has a clock that was never set. */
export const earliestPlausibleMs = Date.UTC(2024, 0, 1)

/** A device's clock may run ahead of the gateway's by so much before it is not believed. */
const maxAheadMs = 300_000

export interface ObservedInput {
  /** The record's time and the envelope's, by the device's clock. */
  atMs?: number | undefined
  sentMs?: number | undefined
  clock?: 'synced' | 'unsynced' | undefined
  /** By the gateway's clock. */
  receivedAtMs: number
}

/**
 * The moment of a record by the gateway's clock, never later than its arrival. A trusted clock is taken at its word;
 * otherwise the time between observation and sending, by the device's clock, is counted back from the arrival.
 */
export function observedAtMs({ atMs, sentMs, clock, receivedAtMs }: ObservedInput): number {
  if (atMs === undefined) return receivedAtMs
  const isPlausible = atMs >= earliestPlausibleMs && atMs <= receivedAtMs + maxAheadMs
  if (clock !== 'unsynced' && isPlausible) return Math.min(atMs, receivedAtMs)
  if (sentMs === undefined || sentMs < atMs) return receivedAtMs
  // A clock that was set between the two makes the difference meaningless.
  const wasSetBetween = atMs < earliestPlausibleMs && sentMs >= earliestPlausibleMs
  return wasSetBetween ? receivedAtMs : receivedAtMs - (sentMs - atMs)
}
