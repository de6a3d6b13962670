// Which seqs the gateway has to be told will never come: in gap records that are still kept, and still to be written.
// What a gap record names must outlive it: when the record itself goes, its news is owed again.
import type { GapRecord } from '../../protocol/records.ts'
import { SeqRanges, type SeqRange } from '../../protocol/seq-ranges.ts'

export type GapReason = GapRecord['reason']

export interface Gap {
  from: number
  to: number
  reason: GapReason
  /** Lowest of these seqs when they were only ever in memory: a torn write must not forget them. */
  neverWritten?: number
}

export class GapBook {
  /** By the seq of the gap record that tells it. */
  readonly #told: Map<number, Gap>
  #owed: Gap[] = []

  constructor(told: ReadonlyMap<number, Gap> = new Map()) {
    this.#told = new Map(told)
  }

  get isAnythingOwed(): boolean {
    return this.#owed.length > 0
  }

  /** Lowest owed seq that no file holds; Infinity when there is none. */
  get lowestNeverWritten(): number {
    return Math.min(Infinity, ...this.#owed.map((gap) => gap.neverWritten ?? Infinity))
  }

  /**
   * These seqs go: what must be told then, including what gap records among them had told. At most `maxPieces` gaps per
   * reason: past that the smallest holes are filled, since a gap may name a seq that is delivered all the same, but
   * giving records up must not take more room than it makes.
   */
  newsOf(ranges: readonly SeqRange[], reason: GapReason, maxPieces = Infinity): Gap[] {
    const within = joined(ranges)
    const byReason = new Map<GapReason, SeqRange[]>([[reason, [...ranges]]])
    const news: Gap[] = []
    for (const [seq, gap] of this.#told) {
      if (!within.has(seq)) continue
      const same = byReason.get(gap.reason)
      if (same === undefined) byReason.set(gap.reason, [[gap.from, gap.to]])
      else same.push([gap.from, gap.to])
    }
    for (const [why, all] of byReason) {
      for (const [from, to] of coarsened(joined(all).toJSON(), maxPieces)) news.push({ from, to, reason: why })
    }
    return news
  }

  /** These seqs are gone, and their news is owed or told elsewhere. */
  forget(ranges: readonly SeqRange[]): void {
    const within = joined(ranges)
    for (const seq of [...this.#told.keys()]) if (within.has(seq)) this.#told.delete(seq)
  }

  /** Takes what is owed; whoever cannot tell it gives it back with `owe`. */
  takeOwed(): Gap[] {
    const owed = this.#owed
    this.#owed = []
    return owed
  }

  /** Joins gaps that follow on each other, so that a disk that fails for days owes few of them. */
  owe(gaps: readonly Gap[]): void {
    const all = [...this.#owed, ...gaps].sort((a, b) => a.from - b.from)
    this.#owed = []
    for (const gap of all) {
      const last = this.#owed.at(-1)
      if (last !== undefined && last.reason === gap.reason && last.to === gap.from - 1) {
        this.#owed[this.#owed.length - 1] = { ...gap, ...last, to: gap.to }
      } else this.#owed.push(gap)
    }
  }

  /** A gap record with this seq is durable. */
  noteTold(seq: number, gap: Gap): void {
    this.#told.set(seq, gap)
  }

  /** The gateway has the gap record with this seq: what it named is accounted for. Undefined when it is no gap record. */
  acknowledge(seq: number): Gap | undefined {
    const gap = this.#told.get(seq)
    this.#told.delete(seq)
    return gap
  }
}

/** Ranges in any order as a set. */
export function joined(ranges: readonly SeqRange[]): SeqRanges {
  const set = new SeqRanges()
  for (const [from, to] of ranges) set.addRange(from, to)
  return set
}

function coarsened(ranges: readonly SeqRange[], maxPieces: number): SeqRange[] {
  if (ranges.length <= maxPieces) return [...ranges]
  const holes = ranges.slice(1).map(([from], index) => from - (ranges[index]?.[1] ?? 0))
  const kept = holes.sort((a, b) => b - a)[maxPieces - 1] ?? 0
  const result: SeqRange[] = []
  for (const [from, to] of ranges) {
    const last = result.at(-1)
    if (last !== undefined && from - last[1] <= kept) last[1] = to
    else result.push([from, to])
  }
  return result
}
