import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { lastSlotMs, nextSlotMs, slotCount, slotsOf } from './slots.ts'

const hourMs = 3_600_000
const moment = fc.integer({ min: 0, max: 4e12 })
const slots = fc
  .record({
    intervalMs: fc.integer({ min: 1, max: 604_800 }).map((s) => s * 1000),
    share: fc.double({ min: -0.5, max: 0.5, noNaN: true }),
  })
  .map(({ intervalMs, share }) => ({ intervalMs, offsetMs: Math.round(intervalMs * share) }))

describe('slots', () => {
  test('without splay are the multiples of the interval since the Unix epoch', () => {
    const exact = slotsOf('press-2', { name: 'users', intervalMs: hourMs, splayPercent: 0 })
    expect(nextSlotMs(exact, Date.UTC(2026, 10, 24, 9, 30))).toBe(Date.UTC(2026, 10, 24, 10))
    expect(nextSlotMs(exact, Date.UTC(2026, 10, 24, 10))).toBe(Date.UTC(2026, 10, 24, 11))
    expect(lastSlotMs(exact, Date.UTC(2026, 10, 24, 10))).toBe(Date.UTC(2026, 10, 24, 10))
  })

  test('of many devices spread evenly over ten percent of the interval to either side, the same at every start', () => {
    const query = { name: 'users', intervalMs: hourMs, splayPercent: 10 }
    const offsets = Array.from({ length: 1000 }, (_, index) => slotsOf(`device-${index}`, query).offsetMs)
    expect(Math.min(...offsets)).toBeGreaterThanOrEqual(-hourMs / 10)
    expect(Math.max(...offsets)).toBeLessThanOrEqual(hourMs / 10)
    for (let tenth = 0; tenth < 10; tenth++) {
      const from = -hourMs / 10 + (tenth * hourMs) / 50
      const count = offsets.filter((offset) => offset >= from && offset < from + hourMs / 50).length
      expect(count).toBeGreaterThan(60)
      expect(count).toBeLessThan(140)
    }
    expect(slotsOf('device-7', query).offsetMs).toBe(offsets[7])
  })

  test('follow each other at exactly one interval, and the count of those between two moments adds up', () => {
    fc.assert(
      fc.property(slots, moment, fc.integer({ min: 0, max: 1e10 }), (each, fromMs, lengthMs) => {
        const next = nextSlotMs(each, fromMs)
        expect(next).toBeGreaterThan(fromMs)
        expect(next - lastSlotMs(each, fromMs)).toBe(each.intervalMs)
        expect(lastSlotMs(each, next)).toBe(next)
        const count = slotCount(each, fromMs, fromMs + lengthMs)
        expect(next + (count - 1) * each.intervalMs).toBeLessThanOrEqual(fromMs + lengthMs)
        expect(next + count * each.intervalMs).toBeGreaterThan(fromMs + lengthMs)
      }),
    )
  })
})
