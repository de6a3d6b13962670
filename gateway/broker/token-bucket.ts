// A rate with a burst. It may be overdrawn: what has already arrived is counted in full, and the debt is waited off.

export class TokenBucket {
  readonly #perSecond: number
  readonly #burst: number
  readonly #now: () => number
  #tokens: number
  #atMs: number

  /** `now` in milliseconds, never running backwards. */
  constructor(perSecond: number, burst: number, now: () => number = () => performance.now()) {
    this.#perSecond = perSecond
    this.#burst = burst
    this.#now = now
    this.#tokens = burst
    this.#atMs = now()
  }

  take(count: number): void {
    this.#refill()
    this.#tokens -= count
  }

  /** Milliseconds until the bucket holds `count`; 0 when it does. */
  waitMs(count = 0): number {
    this.#refill()
    return this.#tokens >= count ? 0 : Math.ceil(((count - this.#tokens) / this.#perSecond) * 1000)
  }

  #refill(): void {
    const nowMs = this.#now()
    this.#tokens = Math.min(this.#burst, this.#tokens + ((nowMs - this.#atMs) / 1000) * this.#perSecond)
    this.#atMs = nowMs
  }
}
