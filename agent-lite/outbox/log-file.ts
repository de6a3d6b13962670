// One file of the outbox and what is known of each record in it: where it lies and whether it was acknowledged. Bodies
// stay on disk.
import { frameHeadBytes, type Frame } from './frame.ts'
import type { SeqRange } from '../../protocol/seq-ranges.ts'

export const priorities = ['high', 'low'] as const
export type Priority = (typeof priorities)[number]

const states = { waiting: 0, leased: 1, acknowledged: 2 } as const

/**
 * The name tells how high seqs had got when the file was begun, its priority and the epoch: nothing else needs to be
 * readable. In order of their names, files of one priority are in order of age.
 */
export function fileName(givenOut: number, priority: Priority, epoch: string): string {
  return `${String(givenOut).padStart(16, '0')}-${priority}-${epoch}.log`
}

const namePattern = /^([0-9]{16})-(high|low)-([A-Za-z0-9_-]{8,64})\.log$/

export function parseFileName(name: string): { givenOut: number; priority: Priority; epoch: string } | undefined {
  const match = namePattern.exec(name)
  if (match === null) return undefined
  return { givenOut: Number(match[1]), priority: match[2] as Priority, epoch: match[3] as string }
}

export class LogFile {
  readonly name: string
  readonly priority: Priority
  /** End of the last whole frame: where the next one goes. */
  byteCount = 0
  #seqs: number[] = []
  #offsets: number[] = []
  #jsonBytes: number[] = []
  #states: number[] = []
  #unacknowledged = 0
  /** No record before this place is waiting. */
  #waitingFrom = 0

  constructor(name: string, priority: Priority) {
    this.name = name
    this.priority = priority
  }

  get recordCount(): number {
    return this.#seqs.length
  }

  get unacknowledgedCount(): number {
    return this.#unacknowledged
  }

  add(frame: Pick<Frame, 'seq' | 'offset' | 'byteCount' | 'jsonBytes'>): void {
    this.#seqs.push(frame.seq)
    this.#offsets.push(frame.offset)
    this.#jsonBytes.push(frame.jsonBytes)
    this.#states.push(states.waiting)
    this.#unacknowledged++
    this.byteCount = frame.offset + frame.byteCount
  }

  /** Places of waiting records, oldest first. */
  *waiting(): Generator<{ place: number; seq: number; jsonBytes: number; offset: number; byteCount: number }> {
    for (let place = this.#waitingFrom; place < this.#seqs.length; place++) {
      if (this.#states[place] !== states.waiting) continue
      const offset = this.#offsets[place] ?? 0
      const end = this.#offsets[place + 1] ?? this.byteCount
      yield {
        place,
        seq: this.#seqs[place] ?? 0,
        jsonBytes: this.#jsonBytes[place] ?? 0,
        offset,
        byteCount: end - offset,
      }
    }
  }

  lease(place: number): void {
    if (this.#states[place] === states.waiting) this.#states[place] = states.leased
    while (this.#states[this.#waitingFrom] === states.leased || this.#states[this.#waitingFrom] === states.acknowledged)
      this.#waitingFrom++
  }

  release(place: number): void {
    if (this.#states[place] !== states.leased) return
    this.#states[place] = states.waiting
    this.#waitingFrom = Math.min(this.#waitingFrom, place)
  }

  /** True when it had not been acknowledged before. */
  acknowledge(place: number): boolean {
    if (this.#states[place] === states.acknowledged) return false
    this.#states[place] = states.acknowledged
    this.#unacknowledged--
    return true
  }

  acknowledgeWhere(isAcknowledged: (seq: number) => boolean): void {
    for (const [place, seq] of this.#seqs.entries()) if (isAcknowledged(seq)) this.acknowledge(place)
  }

  /** Ranges of seqs in file order, joined where one follows on the other. */
  ranges(which: 'acknowledged' | 'unacknowledged'): SeqRange[] {
    const ranges: SeqRange[] = []
    for (const [place, seq] of this.#seqs.entries()) {
      if ((this.#states[place] === states.acknowledged) !== (which === 'acknowledged')) continue
      const last = ranges.at(-1)
      if (last !== undefined && last[1] === seq - 1) last[1] = seq
      else ranges.push([seq, seq])
    }
    return ranges
  }
}

/** What one more record costs in a file. */
export function frameBytes(bodyBytes: number): number {
  return frameHeadBytes + bodyBytes
}
