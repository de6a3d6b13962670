// How large the next segment may be, so that one body takes no more than about ten seconds on this link: an answer
// never waits longer than that behind history.

export interface SegmentSizeOptions {
  startBytes: number
  minBytes: number
  maxBytes: number
  /** What one body may take. */
  aimMs: number
}

export const defaultSegmentSize: SegmentSizeOptions = {
  startBytes: 256 * 1024,
  minBytes: 16 * 1024,
  maxBytes: 4 * 1_048_576,
  aimMs: 10_000,
}

export class SegmentSize {
  readonly #options: SegmentSizeOptions
  #targetBytes: number

  constructor(options: SegmentSizeOptions = defaultSegmentSize) {
    this.#options = options
    this.#targetBytes = options.startBytes
  }

  get targetBytes(): number {
    return this.#targetBytes
  }

  /** A body went through. Small ones say little about the link: they can show that it is slow, not that it is fast. */
  sent(bytes: number, elapsedMs: number): void {
    const { aimMs } = this.#options
    const fittingBytes = (bytes / Math.max(1, elapsedMs)) * aimMs
    if (bytes < this.#targetBytes / 2 && fittingBytes > this.#targetBytes) return
    this.#set(Math.min(fittingBytes, this.#targetBytes * 2))
  }

  /** A body did not get through in time. */
  stalled(): void {
    this.#set(this.#targetBytes / 2)
  }

  #set(bytes: number): void {
    this.#targetBytes = Math.round(Math.min(this.#options.maxBytes, Math.max(this.#options.minBytes, bytes)))
  }
}
