// What is known of the link to the centre, for status, metrics, the log and whoever waits for it to come back.

/** Who found it: the way up or the way down. */
export type AlarmSource = 'segments' | 'commands'

/** Something that a person must mend. Work goes on by itself afterwards. */
export interface LinkAlarm {
  source: AlarmSource
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
  alarms: LinkAlarm[]
}

export interface LinkListener {
  onLink(link: LinkSnapshot): void
  /** Raised, or over. */
  onAlarm(alarm: LinkAlarm, isOver: boolean): void
}

export class LinkStatus {
  readonly #listener: LinkListener
  readonly #now: () => number
  readonly #alarms = new Map<AlarmSource, LinkAlarm>()
  #link: Omit<LinkSnapshot, 'alarms'>
  #waiting = new Set<() => void>()

  constructor(listener: LinkListener, now: () => number = Date.now) {
    this.#listener = listener
    this.#now = now
    this.#link = { isUp: undefined, sinceMs: now(), lastContactMs: undefined, lastError: undefined }
  }

  get snapshot(): LinkSnapshot {
    return { ...this.#link, alarms: [...this.#alarms.values()] }
  }

  /** The centre answered. */
  up(): void {
    const isNews = this.#link.isUp !== true
    const nowMs = this.#now()
    this.#link = { ...this.#link, isUp: true, lastContactMs: nowMs, lastError: undefined }
    if (!isNews) return
    this.#changed(nowMs)
    const waiting = this.#waiting
    this.#waiting = new Set()
    for (const resume of waiting) resume()
  }

  down(reason: string): void {
    const isNews = this.#link.isUp !== false
    this.#link = { ...this.#link, isUp: false, lastError: reason }
    if (isNews) this.#changed(this.#now())
  }

  raise(source: AlarmSource, alarm: Pick<LinkAlarm, 'code' | 'message' | 'hint'>): void {
    const before = this.#alarms.get(source)
    if (before?.code === alarm.code && before.message === alarm.message) return
    const raised = { source, ...alarm, sinceMs: this.#now() }
    this.#alarms.set(source, raised)
    this.#listener.onAlarm(raised, false)
  }

  clearAlarm(source: AlarmSource): void {
    const alarm = this.#alarms.get(source)
    this.#alarms.delete(source)
    if (alarm !== undefined) this.#listener.onAlarm(alarm, true)
  }

  /** Called once, at the next change from down to up, however often it is given. */
  onceUp(resume: () => void): void {
    this.#waiting.add(resume)
  }

  #changed(nowMs: number): void {
    this.#link = { ...this.#link, sinceMs: nowMs }
    this.#listener.onLink(this.snapshot)
  }
}
