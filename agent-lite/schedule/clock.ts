// The machine's clocks for the schedule.
import { uptime } from 'node:os'
import type { Clock } from './ports.ts'

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  // Time since boot, which counts sleep (CLOCK_BOOTTIME): after a suspend a query is late, not early.
  steadyMs: () => uptime() * 1000,
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs)
    return () => clearTimeout(timer)
  },
}
