// One log line for each refusal, with its reason, and a count of each reason. A source that is refused all the time
// gets a few lines and then one a second, with the number of those left out: nobody fills the disk through the log.
import type { Logger } from '../../lib/log.ts'
import type { DeviceRefusal } from './reasons.ts'
import { TokenBucket } from './token-bucket.ts'

export interface RefusedSource {
  device?: string
  remote: string
}

const burstLines = 10
const linesPerSecond = 1
/** Sources remembered; past it all are forgotten, which costs a few lines too many. */
const maxSources = 10_000

interface Source {
  bucket: TokenBucket
  suppressed: number
}

export class RefusalLog {
  readonly #log: Logger
  readonly #counts = new Map<string, number>()
  readonly #sources = new Map<string, Source>()

  constructor(log: Logger) {
    this.#log = log
  }

  note(refusal: DeviceRefusal, { device, remote }: RefusedSource): void {
    const { reason, message } = refusal
    this.#counts.set(reason, (this.#counts.get(reason) ?? 0) + 1)
    if (reason === 'closing') return
    const source = this.#sourceOf(device ?? remote.slice(0, remote.lastIndexOf(':')))
    if (source.bucket.waitMs(1) > 0) {
      source.suppressed++
      return
    }
    source.bucket.take(1)
    const suppressed = source.suppressed === 0 ? {} : { suppressedLines: source.suppressed }
    source.suppressed = 0
    this.#log.warn({ reason, ...(device === undefined ? {} : { device }), remote, ...suppressed }, message)
  }

  counts(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#counts)
  }

  #sourceOf(key: string): Source {
    const known = this.#sources.get(key)
    if (known !== undefined) return known
    if (this.#sources.size >= maxSources) this.#sources.clear()
    const source = { bucket: new TokenBucket(linesPerSecond, burstLines), suppressed: 0 }
    this.#sources.set(key, source)
    return source
  }
}
