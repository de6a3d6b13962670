// The link to the gateway: connects, keeps connecting with full jitter, says that the device is here, listens for commands
// and lets the sender carry the outbox. One connection at a time; nothing is kept between two of them but the pace.
import { setTimeout as sleep } from 'node:timers/promises'
import { Backoff } from '../../lib/backoff.ts'
import type { Logger } from '../../lib/log.ts'
import type { DeviceId } from '../../protocol/ids.ts'
import { deviceTopic, hintTopic } from '../../protocol/topics.ts'
import { Connection, type ConnectionOptions } from './connection.ts'
import { Pace } from './pace.ts'
import { explain, ProblemLog, type LinkProblem } from './problems.ts'
import { Sender, type SenderOptions } from './sender.ts'

export interface LinkOptions extends Pick<SenderOptions, 'outbox' | 'envelopeHead'> {
  device: DeviceId
  site: string
  gateway: ConnectionOptions['gateway']
  tls: ConnectionOptions['tls']
  version: string
  startedMs: number
  limits: {
    keepaliveMs: number
    connectTimeoutMs: number
    ackTimeoutMs: number
    maxInFlight: number
    envelopeBytes: number
    backoffBaseMs: number
    backoffMaxMs: number
  }
  /** A command's JWS. It is acknowledged when this resolves, and comes again when it rejects. */
  onCommand(payload: Buffer): Promise<void>
  log: Logger
}

export interface LinkState {
  connected: boolean
  /** Since when it is connected, or not. */
  sinceMs: number
  lastAckMs: number | undefined
  inFlight: number
  lastProblem: { kind: string; message: string; hint?: string; atMs: number } | undefined
  /** How far this device's clock is ahead of the gateway's, when the gateway last told it. */
  clockAheadMs: number | undefined
}

/** Agents of one plant that start together, after a power cut, do not all connect at the same moment. */
const firstConnectSpreadMs = 1000
/** A connection that held so long was a good one: after it, the next attempt comes soon. */
const stableMs = 60_000
/** Gateways refuse a longer keepalive. */
const keepaliveMaxMs = 1_200_000
const goneMs = 1500

export class Link {
  readonly #options: LinkOptions
  readonly #pace: Pace
  readonly #backoff: Backoff
  readonly #problems = new ProblemLog()
  readonly #stopping = new AbortController()
  #running: Promise<void> = Promise.resolve()
  #connection: Connection | undefined
  #sender: Sender | undefined
  #state: Omit<LinkState, 'inFlight'>

  constructor(options: LinkOptions) {
    const { maxInFlight, envelopeBytes, backoffBaseMs, backoffMaxMs } = options.limits
    this.#options = options
    this.#pace = new Pace({ maxInFlight, batchBytes: envelopeBytes })
    this.#backoff = new Backoff({ baseMs: backoffBaseMs, maxMs: backoffMaxMs })
    this.#state = {
      connected: false,
      sinceMs: Date.now(),
      lastAckMs: undefined,
      lastProblem: undefined,
      clockAheadMs: undefined,
    }
  }

  get state(): LinkState {
    return { ...this.#state, inFlight: this.#sender?.inFlight ?? 0 }
  }

  start(): void {
    this.#running = this.#run()
  }

  /** Records may wait in the outbox. */
  wake(): void {
    this.#sender?.wake()
  }

  /** Sends nothing new, says that the device is gone, and ends the connection; at most a few seconds. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    this.#sender?.stop()
    const connection = this.#connection
    if (connection !== undefined) {
      const gone = connection.publish(this.#topic('alive'), Buffer.from('{"state":"gone"}'), { retain: true })
      await Promise.race([gone.catch(() => undefined), sleep(goneMs, undefined, { ref: false })])
      await connection.end()
    }
    await this.#running
  }

  async #run(): Promise<void> {
    await this.#pause(Math.random() * firstConnectSpreadMs)
    while (!this.#stopping.signal.aborted) {
      const startedMs = performance.now()
      try {
        await this.#session()
      } catch (error) {
        this.#note(explain(error, this.#options.gateway))
      }
      if (performance.now() - startedMs >= stableMs) this.#backoff.reset()
      await this.#pause(this.#backoff.nextMs())
    }
  }

  /** One connection from its first packet to its end. Throws why it ended, unless this side ended it. */
  async #session(): Promise<void> {
    const { gateway, tls, site, device, limits, log } = this.#options
    const connection = await Connection.open({
      gateway,
      tls,
      site,
      device,
      keepaliveMs: Math.min(keepaliveMaxMs, limits.keepaliveMs * this.#pace.patience),
      connectTimeoutMs: limits.connectTimeoutMs,
      signal: this.#stopping.signal,
      will: { topic: this.#topic('alive'), payload: '{"state":"gone"}' },
      onMessage: (topic, payload) => this.#onMessage(topic, payload),
    })
    if (this.#stopping.signal.aborted) return connection.end()
    this.#connection = connection
    this.#setConnected(true)
    log.info({ gateway: `${gateway.host}:${gateway.port}` }, 'connected to the gateway')
    const sender = this.#startSender(connection)
    try {
      this.#greet(connection).catch((error: unknown) => connection.fail(explain(error, gateway)))
      sender.wake()
      const problem = await connection.closed
      if (problem !== undefined) throw problem
    } finally {
      sender.stop()
      this.#connection = undefined
      this.#sender = undefined
      this.#setConnected(false)
    }
  }

  #startSender(connection: Connection): Sender {
    const { device, outbox, envelopeHead, limits, log } = this.#options
    this.#sender = new Sender({
      device,
      outbox,
      connection,
      pace: this.#pace,
      ackTimeoutMs: limits.ackTimeoutMs,
      envelopeHead,
      onAcknowledged: () => {
        this.#state.lastAckMs = Date.now()
      },
      log,
    })
    return this.#sender
  }

  async #greet(connection: Connection): Promise<void> {
    const { version, startedMs, log } = this.#options
    const here = JSON.stringify({ state: 'here', version, startedMs })
    const [, refused] = await Promise.all([
      connection.publish(this.#topic('alive'), Buffer.from(here), { retain: true }),
      connection.subscribe([this.#topic('down'), hintTopic]),
    ])
    if (refused.length > 0) log.error({ topics: refused }, 'the gateway does not let this device subscribe')
  }

  async #onMessage(topic: string, payload: Buffer): Promise<void> {
    if (topic === this.#topic('down')) return this.#options.onCommand(payload)
    if (topic === hintTopic) this.#onHint(payload)
    else this.#options.log.warn({ topic: topic.slice(0, 256) }, 'a message on a topic that is not subscribed')
  }

  #onHint(payload: Buffer): void {
    try {
      const { nowMs } = JSON.parse(payload.toString()) as { nowMs?: unknown }
      if (typeof nowMs === 'number' && Number.isFinite(nowMs)) this.#state.clockAheadMs = Date.now() - nowMs
    } catch {
      this.#options.log.warn('a hint of the gateway that is not JSON')
    }
  }

  #note(problem: LinkProblem): void {
    const { kind, message, hint } = problem
    this.#state.lastProblem = { kind, message, ...(hint === undefined ? {} : { hint }), atMs: Date.now() }
    const isDue = this.#problems.isDue(kind, performance.now())
    this.#options.log[isDue ? 'warn' : 'debug']({ kind, ...(hint === undefined ? {} : { hint }) }, message)
  }

  #setConnected(connected: boolean): void {
    this.#state.connected = connected
    this.#state.sinceMs = Date.now()
  }

  #topic(kind: 'alive' | 'down'): string {
    return deviceTopic(this.#options.device, kind)
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#stopping.signal }).catch(() => undefined)
  }
}
