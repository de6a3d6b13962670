// Decides which query runs when; knows nothing of what a run does. One query at a time, the longest overdue first, so that
// none starves. A slot that passed while something else ran, or the machine slept or was off, runs once, late; further
// ones are counted as missed. A step of the clock is told from lateness by a clock that never steps: then everything is
// planned anew, so that a step forward starts no flood and a step back no silence.
import type { Logger } from '../../lib/log.ts'
import type { Clock } from './ports.ts'
import type { ScheduledQuery } from './scheduled-query.ts'
import { lastSlotMs, nextSlotMs, slotCount, slotsOf, type Slots } from './slots.ts'

export interface SchedulerOptions {
  device: string
  queries: readonly ScheduledQuery[]
  clock: Clock
  log: Logger
  /** The slot of the newest run in an earlier life of the agent; undefined when it never ran. */
  lastSlotMs(name: string): number | undefined
  /** Runs a query for a slot. Must not reject; ends early when the signal aborts. */
  run(query: ScheduledQuery, slotMs: number, signal: AbortSignal): Promise<void>
}

export interface Plan {
  name: string
  nextAtMs: number
  /** Slots since the start that no run was made for. */
  missedCount: number
}

interface Entry {
  query: ScheduledQuery
  slots: Slots
  dueAtMs: number
  /** The newest slot that a run was made for, or that does not count because the clock was set. */
  slotMs: number | undefined
  /** By the steady clock; undefined when it never ran. */
  ranAtSteadyMs: number | undefined
  missedCount: number
}

/** Between the first runs after a start: commands that wait for the engine get their turn. */
const staggerMs = 250
/** A larger difference between the clocks is a step; smaller ones are NTP's slewing and the clocks' resolution. */
const stepMs = 2000
/** How long a step can go unnoticed. */
const lookAgainMs = 30_000

export class Scheduler {
  readonly #options: SchedulerOptions
  readonly #entries: Entry[]
  readonly #stopping = new AbortController()
  #cancelTimer: () => void = () => {}
  #running: Promise<void> | undefined
  #wallMs: number
  #steadyMs: number

  /** Starts at once. */
  constructor(options: SchedulerOptions) {
    this.#options = options
    this.#wallMs = options.clock.nowMs()
    this.#steadyMs = options.clock.steadyMs()
    this.#entries = options.queries.map((query) => this.#entryFor(query))
    this.#spreadOverdue()
    this.#wait()
  }

  get plans(): Plan[] {
    return this.#entries.map(({ query, dueAtMs, missedCount }) => ({
      name: query.name,
      nextAtMs: dueAtMs,
      missedCount,
    }))
  }

  /** Ends a run under way; resolves when it has ended. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    this.#cancelTimer()
    await this.#running
  }

  #entryFor(query: ScheduledQuery): Entry {
    const slots = slotsOf(this.#options.device, query)
    const lastMs = this.#options.lastSlotMs(query.name)
    // A last run in the future was stamped by a clock that cannot be compared with this one.
    const isKnown = lastMs !== undefined && lastMs <= this.#wallMs + query.intervalMs
    const sinceLastMs = isKnown ? Math.max(0, this.#wallMs - lastMs) : undefined
    return {
      query,
      slots,
      dueAtMs: isKnown ? nextSlotMs(slots, Math.min(lastMs, this.#wallMs)) : -Infinity,
      slotMs: isKnown ? lastMs : undefined,
      ranAtSteadyMs: sinceLastMs === undefined ? undefined : this.#steadyMs - sinceLastMs,
      missedCount: 0,
    }
  }

  /** Those never run first, then the longest overdue: soon, but not all at once. */
  #spreadOverdue(): void {
    const overdue = this.#entries
      .filter(({ dueAtMs }) => dueAtMs <= this.#wallMs)
      .sort((left, right) => left.dueAtMs - right.dueAtMs || left.query.intervalMs - right.query.intervalMs)
    for (const [index, entry] of overdue.entries()) entry.dueAtMs = this.#wallMs + index * staggerMs
  }

  #wait(): void {
    if (this.#stopping.signal.aborted) return
    const nowMs = this.#options.clock.nowMs()
    const nextMs = this.#entries.reduce((soonest, { dueAtMs }) => Math.min(soonest, dueAtMs), Infinity)
    const delayMs = Math.min(lookAgainMs, Math.max(0, Math.ceil(nextMs - nowMs)))
    this.#cancelTimer = this.#options.clock.after(delayMs, () => {
      this.#running = this.#runDue().finally(() => {
        this.#running = undefined
        this.#wait()
      })
    })
  }

  async #runDue(): Promise<void> {
    this.#noticeStep()
    const nowMs = this.#wallMs
    const entry = this.#entries
      .filter(({ dueAtMs }) => dueAtMs <= nowMs)
      .reduce<Entry | undefined>(
        (first, each) => (first === undefined || each.dueAtMs < first.dueAtMs ? each : first),
        undefined,
      )
    if (entry === undefined) return
    const { query, slots } = entry
    const slotMs = lastSlotMs(slots, nowMs)
    const missedCount = entry.slotMs === undefined ? 0 : Math.max(0, slotCount(slots, entry.slotMs, slotMs) - 1)
    if (missedCount > 0) this.#options.log.info({ query: query.name, missedCount }, 'slots of a query were missed')
    entry.missedCount += missedCount
    entry.slotMs = slotMs
    entry.ranAtSteadyMs = this.#steadyMs
    entry.dueAtMs = nextSlotMs(slots, nowMs)
    await this.#options.run(query, slotMs, this.#stopping.signal)
    this.#noticeStep()
    // Slots that passed during its own run are not made up for: a query that takes longer than its interval would never
    // pause otherwise.
    if (entry.dueAtMs <= this.#wallMs) entry.dueAtMs = nextSlotMs(slots, this.#wallMs)
  }

  /** Compares the clocks and plans anew after a step of the wall clock. */
  #noticeStep(): void {
    const { clock, log } = this.#options
    const wallMs = clock.nowMs()
    const steadyMs = clock.steadyMs()
    const steppedMs = wallMs - this.#wallMs - (steadyMs - this.#steadyMs)
    const beforeMs = wallMs - steppedMs
    this.#wallMs = wallMs
    this.#steadyMs = steadyMs
    if (Math.abs(steppedMs) < stepMs) return
    log.info({ steppedMs: Math.round(steppedMs) }, 'the clock was set: the schedule is planned anew')
    for (const entry of this.#entries) {
      entry.dueAtMs = this.#dueAfterStep(entry, beforeMs, steppedMs)
      if (entry.slotMs !== undefined) entry.slotMs = lastSlotMs(entry.slots, Math.max(entry.dueAtMs, wallMs) - 1)
    }
  }

  #dueAfterStep(entry: Entry, beforeMs: number, steppedMs: number): number {
    const { intervalMs } = entry.query
    // Was due, or waits for its first run: keeps its turn.
    if (entry.dueAtMs <= beforeMs || entry.ranAtSteadyMs === undefined) return entry.dueAtMs + steppedMs
    const sinceRunMs = this.#steadyMs - entry.ranAtSteadyMs
    // However often the clock is set, a query runs no less than every 1.25 intervals and no more than every half.
    if (sinceRunMs >= 1.25 * intervalMs) return this.#wallMs
    return nextSlotMs(entry.slots, this.#wallMs + Math.max(0, intervalMs / 2 - sinceRunMs))
  }
}
