import { pino } from 'pino'
import { describe, expect, test } from 'vitest'
import type { ScheduledQuery } from './scheduled-query.ts'
import { Scheduler } from './scheduler.ts'
import { FakeClock } from './clock-for-tests.ts'
import { slotCount, slotsOf } from './slots.ts'

const device = 'press-2'
const minuteMs = 60_000
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs
const startMs = Date.UTC(2026, 10, 24, 9, 17, 31)

function query(name: string, intervalMs: number, splayPercent = 10): ScheduledQuery {
  const sql = `SELECT '${name}'`
  return {
    name,
    sql,
    intervalMs,
    splayPercent,
    mode: 'differential',
    logRemoved: true,
    mayBeDenied: true,
    discovery: [],
  }
}

const queries = [
  query('every-10s', 10_000),
  query('every-minute', minuteMs),
  query('every-7m', 7 * minuteMs, 0),
  query('hourly', hourMs),
  query('daily', dayMs),
]

interface Run {
  name: string
  slotMs: number
  atMs: number
  steadyMs: number
}

/** Runs the scheduler over simulated time. `took`: how long a run takes; `last`: runs of an earlier life. */
function simulate({
  clock = new FakeClock(startMs),
  took = () => 20,
  last = {},
  list = queries,
}: {
  clock?: FakeClock
  took?: (name: string, at: number) => number
  last?: Record<string, number>
  list?: ScheduledQuery[]
} = {}) {
  const runs: Run[] = []
  let runningCount = 0
  const scheduler = new Scheduler({
    device,
    queries: list,
    clock,
    log: pino({ level: 'silent' }),
    lastSlotMs: (name) => last[name],
    async run({ name }, slotMs, signal) {
      expect(++runningCount).toBe(1)
      runs.push({ name, slotMs, atMs: clock.nowMs(), steadyMs: clock.steadyMs() })
      await clock.sleep(took(name, clock.nowMs()), signal)
      runningCount--
    },
  })
  return { clock, runs, scheduler, of: (name: string) => runs.filter((run) => run.name === name) }
}

const missedOf = (scheduler: Scheduler, name: string) => scheduler.plans.find((plan) => plan.name === name)?.missedCount

describe('a day', () => {
  test('runs every query on every slot once, without drift', async () => {
    const { clock, of, scheduler } = simulate()
    await clock.advance(dayMs)
    for (const each of queries) {
      const slots = slotsOf(device, each)
      const [, ...onSlots] = of(each.name)
      expect(onSlots).toHaveLength(slotCount(slots, of(each.name)[0]?.atMs ?? 0, startMs + dayMs))
      expect(new Set(onSlots.map(({ slotMs }) => slotMs)).size).toBe(onSlots.length)
      for (const { slotMs, atMs } of onSlots) {
        expect(atMs - slotMs).toBeGreaterThanOrEqual(0)
        expect(atMs - slotMs).toBeLessThan(200)
      }
      expect(missedOf(scheduler, each.name)).toBe(0)
    }
    await scheduler.stop()
  })

  test('begins with every query that never ran, within seconds and one after the other', async () => {
    const { clock, runs, scheduler } = simulate()
    await clock.advance(3000)
    expect(runs.map(({ name }) => name)).toEqual(queries.map(({ name }) => name))
    await scheduler.stop()
  })

  test('goes on after a restart in the middle without a slot run twice or left out', async () => {
    const first = simulate()
    await first.clock.advance(dayMs / 2 + 4321)
    await first.scheduler.stop()
    const last = Object.fromEntries(queries.map(({ name }) => [name, first.of(name).at(-1)?.slotMs ?? 0]))
    const second = simulate({ clock: first.clock, last })
    await second.clock.advance(dayMs / 2)
    await second.scheduler.stop()
    for (const each of queries) {
      const slotsRun = [...first.of(each.name).slice(1), ...second.of(each.name)].map(({ slotMs }) => slotMs)
      expect(new Set(slotsRun).size).toBe(slotsRun.length)
      const fromMs = first.of(each.name)[0]?.atMs ?? 0
      expect(slotsRun).toHaveLength(slotCount(slotsOf(device, each), fromMs, first.clock.nowMs()))
    }
  })
})

describe('lateness', () => {
  test('a slot missed while the agent was off runs once at the start; the others are counted', async () => {
    const hourly = query('hourly', hourMs, 0)
    const last = { hourly: Date.UTC(2026, 10, 24, 4) }
    const { clock, of, scheduler } = simulate({ list: [hourly], last })
    await clock.advance(1000)
    expect(of('hourly').map(({ slotMs }) => slotMs)).toEqual([Date.UTC(2026, 10, 24, 9)])
    expect(missedOf(scheduler, 'hourly')).toBe(4)
    await clock.advance(hourMs)
    expect(of('hourly').map(({ slotMs }) => slotMs)).toEqual([Date.UTC(2026, 10, 24, 9), Date.UTC(2026, 10, 24, 10)])
    await scheduler.stop()
  })

  test('a slow query makes the others late, not less often, and none of them starves', async () => {
    const list = [query('slow', minuteMs), query('a', minuteMs), query('b', 2 * minuteMs)]
    const { clock, of, scheduler } = simulate({ list, took: (name) => (name === 'slow' ? 50_000 : 100) })
    await clock.advance(hourMs)
    expect(of('slow').length).toBeGreaterThanOrEqual(60)
    expect(of('a').length).toBeGreaterThanOrEqual(60)
    expect(of('b').length).toBeGreaterThanOrEqual(30)
    await scheduler.stop()
  })

  test('a query that takes longer than its interval pauses until a slot, and the ones it ran over are counted', async () => {
    const { clock, of, scheduler } = simulate({ list: [query('long', 10_000, 0)], took: () => 25_000 })
    await clock.advance(10 * minuteMs)
    const gaps = of('long').map(({ steadyMs }, index, all) => steadyMs - (all[index - 1]?.steadyMs ?? -Infinity))
    expect(new Set(gaps.slice(2))).toEqual(new Set([30_000]))
    expect(missedOf(scheduler, 'long')).toBe(2 * (of('long').length - 1))
    await scheduler.stop()
  })

  test('after a suspend each query runs once', async () => {
    const { clock, runs, scheduler } = simulate()
    await clock.advance(2 * hourMs)
    const before = runs.length
    clock.suspend(5 * hourMs)
    await clock.advance(31_000)
    const names = runs.slice(before).map(({ name }) => name)
    expect(names.filter((name) => name === 'hourly')).toHaveLength(1)
    expect(names.filter((name) => name === 'every-7m')).toHaveLength(1)
    expect(missedOf(scheduler, 'hourly')).toBe(4)
    await scheduler.stop()
  })
})

describe('a clock that is set', () => {
  for (const [what, stepMs] of [
    ['an hour forward', hourMs],
    ['an hour back', -hourMs],
    ['three days back', -3 * dayMs],
    ['from 1970 to now', undefined],
    ['to 1970', -startMs],
  ] as const) {
    test(`${what} starts no flood and no silence`, async () => {
      const clock = new FakeClock(stepMs === undefined ? 5000 : startMs)
      const { of, scheduler } = simulate({ clock })
      await clock.advance(3 * hourMs + 1234)
      clock.step(stepMs ?? startMs)
      await clock.advance(3 * hourMs)
      for (const { name, intervalMs } of queries.slice(0, 4)) {
        const gaps = of(name).map(({ steadyMs }, index, all) => steadyMs - (all[index - 1]?.steadyMs ?? steadyMs))
        // The first gap is from the run at the start to the first slot.
        for (const gap of gaps.slice(2)) expect(gap).toBeLessThan(1.5 * intervalMs + 31_000)
        // One that was just due when the clock was set may run late, and soon after on its next slot.
        expect(gaps.slice(2).filter((gap) => gap < intervalMs / 2 - 1000).length).toBeLessThanOrEqual(1)
        expect(missedOf(scheduler, name)).toBeLessThanOrEqual(1 + 31_000 / intervalMs)
      }
      await scheduler.stop()
    })
  }

  test('again and again, every minute, still runs each query about as often as it should', async () => {
    const { clock, of, scheduler } = simulate()
    let steps = 0
    while (clock.steadyMs() < dayMs / 2) {
      await clock.advance(minuteMs)
      clock.step(steps++ % 2 === 0 ? -7 * minuteMs : 3 * minuteMs)
    }
    for (const { name, intervalMs } of queries.slice(0, 4)) {
      const usual = dayMs / 2 / intervalMs
      expect(of(name).length).toBeGreaterThan(usual / 2)
      expect(of(name).length).toBeLessThan(usual * 2)
    }
    await scheduler.stop()
  })
})

test('stop ends the run under way and nothing runs afterwards', async () => {
  const clock = new FakeClock(startMs)
  const signals: AbortSignal[] = []
  const scheduler = new Scheduler({
    device,
    queries,
    clock,
    log: pino({ level: 'silent' }),
    lastSlotMs: () => undefined,
    run: (_query, _slotMs, signal) => {
      signals.push(signal)
      return new Promise((resolve) => signal.addEventListener('abort', () => resolve()))
    },
  })
  await clock.advance(1000)
  await scheduler.stop()
  await clock.advance(hourMs)
  expect(signals).toHaveLength(1)
})
