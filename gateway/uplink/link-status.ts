// What is known of the link to the centre, for status, metrics and whoever waits for it to come back.

export interface LinkAlarm {
  /** Stable word in capitals. */
  code: string
  message: string
  hint: string
  sinceMs: number
}

export interface LinkSnapshot {
  /** Undefined until the first attempt has ended. */
  isUp: boolean | undefined
  sinceMs: number
  lastContactMs: number | undefined
  /** Why the last attempt failed, in words. */
  lastError: string | undefined
  /** Something that a person must mend; sending waits for it and goes on by itself afterwards. */
  alarm: LinkAlarm | undefined
}

export class LinkStatus {
  readonly #now: () => number
  readonly #onChange: (snapshot: LinkSnapshot) => void
  #snapshot: LinkSnapshot
  #waiting = new Set<() => void>()

  constructor(onChange: (snapshot: LinkSnapshot) => void, now: () => number = Date.now) {
    this.#now = now
    this.#onChange = onChange
    this.#snapshot = {
      isUp: undefined,
      sinceMs: now(),
      lastContactMs: undefined,
      lastError: undefined,
      alarm: undefined,
    }
  }

  get snapshot(): LinkSnapshot {
    return this.#snapshot
  }

  /** The centre answered. */
  up(): void {
    const wasUp = this.#snapshot.isUp === true
    this.#snapshot = { ...this.#snapshot, isUp: true, lastContactMs: this.#now(), lastError: undefined }
    if (wasUp) return
    this.#changed()
    const waiting = this.#waiting
    this.#waiting = new Set()
    for (const resume of waiting) resume()
  }

  down(reason: string): void {
    const isNews = this.#snapshot.isUp !== false
    this.#snapshot = { ...this.#snapshot, isUp: false, lastError: reason }
    if (isNews) this.#changed()
  }

  raise(alarm: Omit<LinkAlarm, 'sinceMs'>): void {
    if (this.#snapshot.alarm?.code === alarm.code && this.#snapshot.alarm.message === alarm.message) return
    this.#snapshot = { ...this.#snapshot, alarm: { ...alarm, sinceMs: this.#now() } }
    this.#onChange(this.#snapshot)
  }

  clearAlarm(): void {
    if (this.#snapshot.alarm === undefined) return
    this.#snapshot = { ...this.#snapshot, alarm: undefined }
    this.#onChange(this.#snapshot)
  }

  /** Called once, at the next change from down to up, however often it is given. */
  onceUp(resume: () => void): void {
    this.#waiting.add(resume)
  }

  #changed(): void {
    this.#snapshot = { ...this.#snapshot, sinceMs: this.#now() }
    this.#onChange(this.#snapshot)
  }
}
