// A wait that ends after a time or when someone says so, whichever is first.

export class Pause {
  #resume: (() => void) | undefined
  #timer: NodeJS.Timeout | undefined
  #isWoken = false

  /** Waits until wake(), or for `ms` when given. A wake that came before counts. */
  async wait(ms?: number): Promise<void> {
    if (!this.#isWoken) {
      await new Promise<void>((resolve) => {
        this.#resume = resolve
        if (ms !== undefined) this.#timer = setTimeout(resolve, ms)
      })
    }
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#resume = undefined
    this.#isWoken = false
  }

  wake(): void {
    this.#isWoken = true
    this.#resume?.()
  }
}
