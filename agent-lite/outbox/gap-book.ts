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

  /** These seqs go: what must be told then, including what gap records among them had told. */
  newsOf(ranges: readonly SeqRange[], reason: GapReason): Gap[] {
    const within = joined(ranges)
    const told = [...this.#told].filter(([seq]) => within.has(seq)).map(([, gap]) => gap)
    return [...told, ...ranges.map(([from, to]) => ({ from, to, reason }))]
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
