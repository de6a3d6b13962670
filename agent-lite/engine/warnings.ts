// What readers could not read, gathered beside the rows: each message once, and no more than a record may carry.
const warningsMax = 100
const warningMaxLength = 1024

export class Warnings {
  readonly #seen = new Set<string>()
  #moreCount = 0

  add(message: string): void {
    const short = message.slice(0, warningMaxLength)
    if (this.#seen.has(short)) return
    if (this.#seen.size < warningsMax - 1) this.#seen.add(short)
    else this.#moreCount += 1
  }

  list(): string[] {
    return [...this.#seen, ...(this.#moreCount > 0 ? [`${this.#moreCount} more warnings`] : [])]
  }
}
