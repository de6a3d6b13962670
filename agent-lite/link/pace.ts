// How much is under way at once. On a slow link a large envelope holds up PINGREQ and PUBACK until both sides give up, and
// sending it again would never end: so batches start small and grow with quick answers, and a connection that ended
// waiting makes the next one smaller and more patient.

export interface PaceOptions {
  maxInFlight: number
  /** JSON of one envelope's records at most. */
  batchBytes: number
}

/** The smallest batch, unless less is configured. */
const batchBytesMin = 16 * 1024
const quickMs = 2000
const slowMs = 15_000
const patienceMax = 16

export class Pace {
  /** Envelopes that may wait for their PUBACK. */
  inFlight = 1
  /** JSON bytes of the records in one envelope. */
  batchBytes: number
  /** Factor for the keepalive and the time a PUBACK may take. */
  patience = 1
  readonly #max: PaceOptions

  constructor(max: PaceOptions) {
    this.#max = max
    this.batchBytes = Math.min(max.batchBytes, 4 * batchBytesMin)
  }

  acknowledged(tookMs: number): void {
    if (tookMs <= quickMs) {
      this.inFlight = Math.min(this.#max.maxInFlight, this.inFlight + 1)
      this.batchBytes = Math.min(this.#max.batchBytes, this.batchBytes * 2)
      this.patience = 1
    } else if (tookMs > slowMs) {
      this.inFlight = 1
      this.batchBytes = Math.min(this.batchBytes, Math.max(batchBytesMin, this.batchBytes / 2))
    }
  }

  /** The connection ended while an envelope had long been waiting for its PUBACK. */
  waitedInVain(): void {
    this.inFlight = 1
    this.batchBytes = Math.min(this.batchBytes, batchBytesMin)
    this.patience = Math.min(patienceMax, this.patience * 2)
  }
}
