// Time for tests: passes only when told to, and the wall clock can be set while the steady one goes on.
import type { Clock } from './ports.ts'

interface Timer {
  atSteadyMs: number
  callback(): void
}

export class FakeClock implements Clock {
  #wallMs: number
  #steadyMs = 0
  #timers: Timer[] = []
  readonly #isBusy: () => boolean

  /** `isBusy`: something is under way that takes no time by this clock, such as writing a file. */
  constructor(wallMs: number, isBusy: (timerCount: number) => boolean = () => false) {
    this.#wallMs = wallMs
    this.#isBusy = () => isBusy(this.#timers.length)
  }

  nowMs(): number {
    return this.#wallMs
  }

  steadyMs(): number {
    return this.#steadyMs
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { atSteadyMs: this.#steadyMs + Math.max(0, delayMs), callback }
    this.#timers.push(timer)
    return () => (this.#timers = this.#timers.filter((each) => each !== timer))
  }

  /** Ends early when the signal aborts. */
  sleep(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        signal.removeEventListener('abort', end)
        resolve()
      }
      this.after(ms, end)
      signal.addEventListener('abort', end)
    })
  }

  /** Lets time pass, timer by timer, and whatever they start come to rest in between. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#steadyMs + ms
    for (;;) {
      do await new Promise((resolve) => setImmediate(resolve))
      while (this.#isBusy())
      const next = this.#timers.reduce<Timer | undefined>(
        (first, each) => (first === undefined || each.atSteadyMs < first.atSteadyMs ? each : first),
        undefined,
      )
      if (next === undefined || next.atSteadyMs > untilMs) break
      this.#pass(Math.max(0, next.atSteadyMs - this.#steadyMs))
      this.#timers = this.#timers.filter((each) => each !== next)
      next.callback()
    }
    this.#pass(untilMs - this.#steadyMs)
  }

  /** Somebody sets the clock. */
  step(ms: number): void {
    this.#wallMs += ms
  }

  /** The machine sleeps: time passes on both clocks, timers do not. */
  suspend(ms: number): void {
    this.#pass(ms)
    this.#timers = this.#timers.map((timer) => Object.assign(timer, { atSteadyMs: timer.atSteadyMs + ms }))
  }

  #pass(ms: number): void {
    this.#wallMs += ms
    this.#steadyMs += ms
  }
}
