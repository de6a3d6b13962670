// A set of sequence numbers kept as closed ranges: what has been received, forwarded or acknowledged of one epoch.
// In the normal case it is a single range, whatever the number of records.

export type SeqRange = [from: number, to: number]

export class SeqRanges {
  #ranges: SeqRange[]

  /** Ranges as `toJSON` gave them; throws RangeError when they are not sorted, disjoint and positive. */
  constructor(ranges: readonly (readonly [number, number])[] = []) {
    let last = -1
    for (const [from, to] of ranges) {
      if (!Number.isSafeInteger(from) || !Number.isSafeInteger(to) || from <= last + (last < 0 ? 0 : 1) || to < from) {
        throw new RangeError(`not a list of sorted, disjoint ranges: ${JSON.stringify(ranges).slice(0, 200)}`)
      }
      last = to
    }
    this.#ranges = ranges.map(([from, to]) => [from, to])
  }

  has(seq: number): boolean {
    const range = this.#ranges[this.#indexAtOrBefore(seq)]
    return range !== undefined && seq <= range[1]
  }

  /** Adds one number; false when it was there. */
  add(seq: number): boolean {
    if (this.has(seq)) return false
    this.addRange(seq, seq)
    return true
  }

  /** Adds from..to, both included; joins what it touches. */
  addRange(from: number, to: number): void {
    const ranges = this.#ranges
    let start = this.#indexAtOrBefore(from)
    const before = ranges[start]
    if (before === undefined || before[1] < from - 1) start++
    let end = start
    let low = from
    let high = to
    for (let range = ranges[end]; range !== undefined && range[0] <= to + 1; range = ranges[end]) {
      low = Math.min(low, range[0])
      high = Math.max(high, range[1])
      end++
    }
    ranges.splice(start, end - start, [low, high])
  }

  get count(): number {
    return this.#ranges.reduce((sum, [from, to]) => sum + to - from + 1, 0)
  }

  get highest(): number | undefined {
    return this.#ranges.at(-1)?.[1]
  }

  /** Ranges between `from` and the highest number (or `upTo`) that are not in the set. */
  missing(from = 1, upTo = this.highest ?? from - 1): SeqRange[] {
    const holes: SeqRange[] = []
    let next = from
    for (const [low, high] of this.#ranges) {
      if (low > upTo) break
      if (low > next) holes.push([next, low - 1])
      next = Math.max(next, high + 1)
    }
    if (next <= upTo) holes.push([next, upTo])
    return holes
  }

  toJSON(): SeqRange[] {
    return this.#ranges.map(([from, to]) => [from, to])
  }

  /** Index of the last range that starts at or before seq; -1 when there is none. */
  #indexAtOrBefore(seq: number): number {
    let low = 0
    let high = this.#ranges.length
    while (low < high) {
      const middle = (low + high) >> 1
      const range = this.#ranges[middle]
      if (range !== undefined && range[0] <= seq) low = middle + 1
      else high = middle
    }
    return low - 1
  }
}
