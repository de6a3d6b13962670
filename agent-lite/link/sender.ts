// Carries records from the outbox to the gateway: leased, published, and acknowledged to the outbox on PUBACK. Whatever
// ends the connection releases the leases, and the next connection reads the same records again.
import type { Logger } from '../../lib/log.ts'
import type { DeviceId } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import { encodeEnvelope, type Envelope } from '../../protocol/records.ts'
import { Refusal } from '../../protocol/refusal.ts'
import { deviceTopic } from '../../protocol/topics.ts'
import { protocolVersion } from '../../protocol/version.ts'
import type { Lease, Outbox } from '../outbox/outbox.ts'
import type { Pace } from './pace.ts'
import { LinkProblem } from './problems.ts'

/** What the sender needs of a connection. */
export interface Publisher {
  publish(topic: string, payload: Buffer): Promise<void>
  fail(problem: LinkProblem): void
}

export interface SenderOptions {
  device: DeviceId
  outbox: Pick<Outbox, 'epoch' | 'lease' | 'acknowledge' | 'release' | 'abandon'>
  connection: Publisher
  pace: Pace
  ackTimeoutMs: number
  /** What each envelope says of this device and its clock. */
  envelopeHead(): Pick<Envelope, 'sentMs' | 'bootId' | 'uptimeMs' | 'clock'>
  onAcknowledged(): void
  log: Logger
}

/** Below this Brotli saves less than its cost in CPU. */
const plainBytesMax = 512

export class Sender {
  readonly #options: SenderOptions
  /** When each envelope under way was published; oldest first. */
  readonly #underWay = new Map<Lease, number>()
  #isFilling = false
  #isWanted = false
  #isStopped = false
  #hasWaitedInVain = false

  constructor(options: SenderOptions) {
    this.#options = options
  }

  /** Records may wait in the outbox, or there is room for another envelope. */
  wake(): void {
    this.#isWanted = true
    if (!this.#isFilling) void this.#fill()
  }

  /** Publishes nothing more. What is under way may still be acknowledged. */
  stop(): void {
    this.#isStopped = true
  }

  get inFlight(): number {
    return this.#underWay.size
  }

  async #fill(): Promise<void> {
    const { pace, log } = this.#options
    this.#isFilling = true
    try {
      while (this.#isWanted) {
        this.#isWanted = false
        while (!this.#isStopped && this.#underWay.size < pace.inFlight) {
          const next = await this.#next()
          if (next === undefined) break
          if (this.#isStopped) this.#options.outbox.release(next.lease)
          else void this.#send(next)
        }
      }
    } catch (error) {
      log.error({ err: error }, 'the outbox cannot be read')
    } finally {
      this.#isFilling = false
    }
  }

  /** The next envelope. A record that fits into none is given up, so that it never blocks the rest. */
  async #next(): Promise<{ lease: Lease; topic: string; payload: Buffer } | undefined> {
    const { outbox, pace, log } = this.#options
    let maxRecords: number = limits.recordsPerEnvelope
    for (;;) {
      const lease = await outbox.lease(pace.batchBytes, maxRecords)
      if (lease === undefined) return undefined
      try {
        return { lease, ...this.#encode(lease) }
      } catch (error) {
        if (!(error instanceof Refusal)) {
          outbox.release(lease)
          throw error
        }
        maxRecords = Math.ceil(lease.records.length / 2)
        if (lease.records.length > 1) outbox.release(lease)
        else {
          log.error(
            { seq: lease.records[0]?.seq, reason: error.message },
            'gave up a record that no envelope can carry',
          )
          outbox.abandon(lease, 'too-large')
          maxRecords = limits.recordsPerEnvelope
        }
      }
    }
  }

  #encode({ records }: Lease): { topic: string; payload: Buffer } {
    const { device, outbox, envelopeHead } = this.#options
    const envelope: Envelope = { v: protocolVersion, device, epoch: outbox.epoch, ...envelopeHead(), records }
    const jsonBytes = Buffer.byteLength(JSON.stringify(envelope))
    if (jsonBytes > plainBytesMax) {
      const payload = encodeEnvelope(envelope, 'br')
      if (payload.byteLength < jsonBytes) return { topic: deviceTopic(device, 'up/br'), payload }
    }
    return { topic: deviceTopic(device, 'up'), payload: encodeEnvelope(envelope, 'json') }
  }

  async #send({ lease, topic, payload }: { lease: Lease; topic: string; payload: Buffer }): Promise<void> {
    const { outbox, connection, pace, log, onAcknowledged } = this.#options
    const ackTimeoutMs = this.#options.ackTimeoutMs * pace.patience
    const startedMs = performance.now()
    const timer = setTimeout(() => {
      connection.fail(
        new LinkProblem(
          'ack-timeout',
          `the gateway has not acknowledged ${payload.byteLength} bytes within ${Math.round(ackTimeoutMs / 1000)} s`,
          'its disk or the link may be too slow; link.ackTimeout allows more time',
        ),
      )
    }, ackTimeoutMs)
    this.#underWay.set(lease, startedMs)
    try {
      await connection.publish(topic, payload)
    } catch {
      // The link reports why it ended; here only the records matter.
      outbox.release(lease)
      if (performance.now() - startedMs > ackTimeoutMs / 2) this.#waitedInVain()
      return
    } finally {
      clearTimeout(timer)
      this.#underWay.delete(lease)
    }
    pace.acknowledged(performance.now() - startedMs)
    try {
      await outbox.acknowledge(lease)
    } catch (error) {
      log.error({ err: error }, 'the outbox cannot note what was acknowledged')
    }
    onAcknowledged()
    this.wake()
  }

  /** Once per connection, however many envelopes were under way. */
  #waitedInVain(): void {
    if (!this.#hasWaitedInVain) this.#options.pace.waitedInVain()
    this.#hasWaitedInVain = true
  }
}
