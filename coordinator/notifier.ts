// Wakes what waits within this process: long polls of sites, streams of results. Only a hint: whoever wakes reads the
// store, and whoever waits also wakes by itself after a while.

export interface Listener {
  /** Resolves when the topic was notified since the last wait (or since listen), after timeoutMs, or on abort. */
  wait(timeoutMs: number, signal: AbortSignal): Promise<void>
  close(): void
}

export class Notifier {
  readonly #listeners = new Map<string, Set<() => void>>()

  notify(topic: string): void {
    for (const wake of this.#listeners.get(topic) ?? []) wake()
  }

  /** Listen first, then read the store, then wait: nothing that happens in between is missed. */
  listen(topic: string): Listener {
    let isNotified = false
    let resume: (() => void) | undefined
    const wake = () => {
      isNotified = true
      resume?.()
    }
    const listeners = this.#listeners.get(topic) ?? new Set()
    this.#listeners.set(topic, listeners.add(wake))
    return {
      async wait(timeoutMs, signal) {
        if (!isNotified && !signal.aborted) {
          await new Promise<void>((resolve) => {
            const timer = setTimeout(resolve, timeoutMs)
            resume = () => {
              clearTimeout(timer)
              resolve()
            }
            signal.addEventListener('abort', resume, { once: true })
          })
          if (resume) signal.removeEventListener('abort', resume)
          resume = undefined
        }
        isNotified = false
      },
      close: () => {
        listeners.delete(wake)
        if (listeners.size === 0 && this.#listeners.get(topic) === listeners) this.#listeners.delete(topic)
      },
    }
  }
}

/** Something was queued for a site. */
export const commandsTopic = (site: string) => `commands ${site}`
/** A query moved on. */
export const queryTopic = (id: string) => `query ${id}`
/** Records were committed. */
export const recordsTopic = 'records'
