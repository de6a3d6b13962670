// Exponential backoff with full jitter: after an outage a fleet comes back spread over time, not all at once.

export interface BackoffOptions {
  baseMs: number
  maxMs: number
  /** 0 ≤ random() < 1. */
  random?: () => number
}

export class Backoff {
  readonly #options: Required<BackoffOptions>
  #attempt = 0

  constructor(options: BackoffOptions) {
    this.#options = { random: Math.random, ...options }
  }

  /** How long to wait before the next attempt: uniform in 0..min(max, base·2^n). */
  nextMs(): number {
    const { baseMs, maxMs, random } = this.#options
    const ceilingMs = Math.min(maxMs, baseMs * 2 ** Math.min(this.#attempt, 30))
    this.#attempt++
    return Math.floor(random() * ceilingMs)
  }

  reset(): void {
    this.#attempt = 0
  }
}
