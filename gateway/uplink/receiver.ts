// Fetches the centre's commands by long poll, on a connection of its own. The position in the centre's queue is stored
// with the commands, in one transaction: none is lost and none comes twice.
import type { Backoff } from '../../lib/backoff.ts'
import type { Logger } from '../../lib/log.ts'
import { CentreUnreachable, type CentreClient } from './centre-client.ts'
import type { LinkStatus } from './link-status.ts'
import { Pause } from './pause.ts'

export interface ReceiverOptions {
  centre: Pick<CentreClient, 'commands'>
  /** Last number that is stored. */
  cursor: number
  /** Stores commands and the new position; commands are older first. */
  accept: (commands: { n: number; jws: string }[], cursor: number) => Promise<void>
  link: LinkStatus
  log: Logger
  /** How long the centre may hold a poll. */
  waitMs: number
  backoff: Backoff
  now?: () => number
}

/** An empty answer that came sooner than this is followed by a wait: a server that does not hold polls is not hammered. */
const shortestPollMs = 1000

export class Receiver {
  readonly #options: ReceiverOptions
  readonly #backoff: Backoff
  readonly #now: () => number
  readonly #pause = new Pause()
  readonly #resume = () => this.#pause.wake()
  #cursor: number
  /** The link is known to work: only then is a poll held, so that its return is seen at once. */
  #isHeld = false
  #isStopping = false
  #loop: Promise<void> | undefined

  constructor(options: ReceiverOptions) {
    this.#options = options
    this.#cursor = options.cursor
    this.#backoff = options.backoff
    this.#now = options.now ?? Date.now
  }

  start(): void {
    this.#loop = this.#run()
  }

  /** Call after closing the connection: a poll may be open for half a minute. */
  async stop(): Promise<void> {
    this.#isStopping = true
    this.#pause.wake()
    await this.#loop
  }

  async #run(): Promise<void> {
    const { link, log } = this.#options
    while (!this.#isStopping) {
      let pauseMs: number
      try {
        pauseMs = await this.#poll()
        this.#backoff.reset()
      } catch (error) {
        if (this.#isStopping) return
        const unreachable = error instanceof CentreUnreachable ? error : undefined
        if (unreachable === undefined) log.error({ err: error }, 'cannot store commands')
        else if (unreachable.status === undefined) link.down(unreachable.message)
        else this.#refused(unreachable)
        pauseMs = Math.max(this.#backoff.nextMs(), unreachable?.retryAfterMs ?? 0)
        this.#isHeld = false
        link.onceUp(this.#resume)
      }
      if (pauseMs > 0 && !this.#isStopping) await this.#pause.wait(pauseMs)
    }
  }

  #refused({ message, status = 0 }: CentreUnreachable): void {
    this.#options.link.up()
    if (status === 429 || status >= 500) return this.#options.log.warn({ status }, message)
    this.#options.link.raise('commands', {
      code: 'COMMANDS_REFUSED',
      message: `the centre gives no commands: ${message}`,
      hint: 'check at the centre that this site is registered, and that the certificate is this site’s',
    })
  }

  /** Returns how long to wait before the next one. */
  async #poll(): Promise<number> {
    const { centre, accept, link, log, waitMs } = this.#options
    const startedMs = this.#now()
    const { commands, upTo } = await centre.commands(this.#cursor, this.#isHeld ? waitMs : 0)
    link.up()
    link.clearAlarm('commands')
    const wasHeld = this.#isHeld
    this.#isHeld = true
    const fresh = commands.filter(({ n }) => n > this.#cursor).sort((left, right) => left.n - right.n)
    // upTo is how far the centre has looked: it passes over commands that are no longer valid.
    const reached = Math.max(upTo, fresh.at(-1)?.n ?? 0)
    if (reached !== this.#cursor) {
      if (reached < this.#cursor) {
        // Numbers that a centre gives anew after it was set back are not old ones. Ids tell repeats apart.
        log.warn({ cursor: this.#cursor, reached }, "the centre's queue of commands is shorter than it was")
      }
      await accept(fresh, reached)
      this.#cursor = reached
      return 0
    }
    return wasHeld ? Math.max(0, shortestPollMs - (this.#now() - startedMs)) : 0
  }
}
