// Sends segments, one body at a time, oldest first, and keeps at it. Nothing is skipped: when the centre's chain and ours
// do not fit, it stops with an alarm that says why and goes on by itself once they fit again.
import type { Backoff } from '../../lib/backoff.ts'
import { AppError } from '../../lib/errors.ts'
import type { Logger } from '../../lib/log.ts'
import type { Epoch } from '../../protocol/ids.ts'
import { Refusal } from '../../protocol/refusal.ts'
import { CentreUnreachable, type CentreClient, type SegmentReply } from './centre-client.ts'
import type { LinkStatus } from './link-status.ts'
import { Pause } from './pause.ts'
import { SegmentSize } from './segment-size.ts'

/** What the sender needs of the store worker. */
export interface SegmentStore {
  nextSegment(targetBytes: number): Promise<OutgoingSegment | undefined>
  /** A segment that had its receipt, while it is still kept. */
  oldSegment(n: number): Promise<OutgoingSegment | undefined>
  /** Throws Refusal or AppError when the receipt is not one for what was sent. Returns the segment it reaches up to. */
  receipt(jws: string): Promise<number>
}

export interface OutgoingSegment {
  n: number
  lane: string
  file: Uint8Array
}

export interface SenderOptions {
  store: SegmentStore
  centre: Pick<CentreClient, 'postSegment' | 'newestReceipt'>
  chain: Epoch
  link: LinkStatus
  log: Logger
  /** After each receipt: the journal may be trimmed. */
  onReceipt: (sent: { n: number; lane: string; bytes: number }) => void
  /** History waits so long for company before a segment is formed; answers do not. */
  lingerMs: number
  size?: SegmentSize
  backoff: Backoff
  now?: () => number
}

type Step = 'sent' | 'idle' | { retryMs: number }

export class Sender {
  readonly #options: SenderOptions
  readonly #size: SegmentSize
  readonly #backoff: Backoff
  readonly #now: () => number
  readonly #work = new Pause()
  readonly #retry = new Pause()
  readonly #resume = () => this.#retry.wake()
  #linger: NodeJS.Timeout | undefined
  #isStopping = false
  #loop: Promise<void> | undefined
  /** While the centre asks for segments again that it had given receipts for. */
  #resendFrom: number | undefined
  #refusalsInARow = 0

  constructor(options: SenderOptions) {
    this.#options = options
    this.#size = options.size ?? new SegmentSize()
    this.#backoff = options.backoff
    this.#now = options.now ?? Date.now
  }

  start(): void {
    this.#loop = this.#run()
  }

  /** Something to send has come up. */
  wake({ isUrgent }: { isUrgent: boolean }): void {
    if (isUrgent) return this.#work.wake()
    this.#linger ??= setTimeout(() => {
      this.#linger = undefined
      this.#work.wake()
    }, this.#options.lingerMs)
  }

  async stop(): Promise<void> {
    this.#isStopping = true
    clearTimeout(this.#linger)
    this.#work.wake()
    this.#retry.wake()
    await this.#loop
  }

  async #run(): Promise<void> {
    while (!this.#isStopping) {
      let step: Step
      try {
        step = await this.#step()
      } catch (error) {
        step = this.#failed(error)
      }
      if (this.#isStopping) return
      if (step === 'idle') await this.#work.wait()
      else if (step !== 'sent') {
        // The receiver may be the first to see that the link is back.
        this.#options.link.onceUp(this.#resume)
        await this.#retry.wait(step.retryMs)
      }
    }
  }

  async #step(): Promise<Step> {
    const { store, centre } = this.#options
    const segment =
      this.#resendFrom === undefined
        ? await store.nextSegment(this.#size.targetBytes)
        : await store.oldSegment(this.#resendFrom)
    if (segment === undefined) {
      if (this.#resendFrom === undefined) return 'idle'
      this.#resendFrom = undefined
      return 'sent'
    }
    const startedMs = this.#now()
    const reply = await centre.postSegment(segment.n, segment.file)
    this.#options.link.up()
    return reply.kind === 'receipt'
      ? this.#received(segment, reply.jws, this.#now() - startedMs)
      : this.#refused(segment, reply)
  }

  async #received(segment: OutgoingSegment, jws: string, elapsedMs: number): Promise<Step> {
    const { store, link, log, onReceipt } = this.#options
    const upTo = await store.receipt(jws)
    if (upTo < segment.n) {
      throw new AppError('RECEIPT_WRONG', `a receipt up to segment ${upTo} for segment ${segment.n}`)
    }
    const bytes = segment.file.byteLength
    this.#size.sent(bytes, elapsedMs)
    this.#backoff.reset()
    this.#refusalsInARow = 0
    if (this.#resendFrom !== undefined) this.#resendFrom = upTo + 1
    link.clearAlarm('segments')
    log.debug({ n: segment.n, lane: segment.lane, bytes, elapsedMs }, 'segment has its receipt')
    onReceipt({ n: segment.n, lane: segment.lane, bytes })
    return 'sent'
  }

  async #refused(segment: OutgoingSegment, reply: Exclude<SegmentReply, { kind: 'receipt' }>): Promise<Step> {
    this.#refusalsInARow++
    if (reply.kind === 'out-of-order') return this.#outOfOrder(segment, reply.expected, reply.chain)
    if (reply.status === 429 || reply.status >= 500) {
      throw new CentreUnreachable(`the centre answered ${reply.status}: ${reply.code} ${reply.message}`, reply)
    }
    this.#options.link.raise('segments', {
      code: 'CENTRE_REFUSES',
      message: `the centre refuses segment ${segment.n}: ${reply.status} ${reply.code} ${reply.message}`.trim(),
      hint:
        reply.status === 401 || reply.status === 403 || reply.status === 404
          ? 'check at the centre that this site is registered with its signing key, and that the certificate is this site’s'
          : 'both logs name the segment; sending goes on by itself once the centre takes it',
    })
    return { retryMs: Math.max(this.#backoff.nextMs(), reply.retryAfterMs ?? 0) }
  }

  async #outOfOrder(segment: OutgoingSegment, expected: number, chain: string | undefined): Promise<Step> {
    const { store, centre, link, log } = this.#options
    const ours = this.#options.chain
    const again = { retryMs: this.#backoff.nextMs() }
    if (chain === ours && expected < segment.n) {
      if ((await store.oldSegment(expected)) !== undefined) {
        log.warn({ n: segment.n, expected }, 'the centre asks for older segments again: sending them')
        this.#resendFrom = expected
        return this.#refusalsInARow === 1 ? 'sent' : again
      }
      link.raise('segments', {
        code: 'CENTRE_BEHIND',
        message: `the centre asks for segment ${expected} again, which had its receipt and is gone here; the next is ${segment.n}`,
        hint: 'the centre was set back to an older copy of its data: restore a newer one there',
      })
    } else if (chain === ours && expected > segment.n) {
      const receipt = await centre.newestReceipt(ours)
      try {
        if (receipt !== undefined && (await store.receipt(receipt)) >= segment.n) return 'sent'
      } catch (error) {
        log.debug({ err: error }, 'the newest receipt is not for what is here')
      }
      link.raise('segments', {
        code: 'CENTRE_AHEAD',
        message: `the centre already has other segments ${segment.n} to ${expected - 1} of this chain`,
        hint: 'site.db here was set back to an older copy, or two gateways use the same one: stop the other, or move site.db aside to begin a new chain',
      })
    } else {
      link.raise('segments', {
        code: 'CHAIN_BROKEN',
        message: `segment ${segment.n} of chain ${ours} does not follow what the centre has (it expects ${expected} of ${chain ?? 'another chain'})`,
        hint: 'compare both ends with `tidegate-gateway status` and the centre’s page of this site',
      })
    }
    return again
  }

  #failed(error: unknown): Step {
    const { link, log } = this.#options
    if (error instanceof CentreUnreachable) {
      link.down(error.message)
      if (error.isTimeout) this.#size.stalled()
      return { retryMs: Math.max(this.#backoff.nextMs(), error.retryAfterMs ?? 0) }
    }
    if (error instanceof Refusal || (error instanceof AppError && error.code === 'RECEIPT_WRONG')) {
      link.raise('segments', {
        code: 'RECEIPT_WRONG',
        message: `the centre's receipt is not accepted: ${error.message}`,
        hint: "check that centre.trust holds the centre's present public key; nothing is deleted until a receipt fits",
      })
    } else {
      log.error({ err: error }, 'cannot form or record segments')
    }
    return { retryMs: this.#backoff.nextMs() }
  }
}
