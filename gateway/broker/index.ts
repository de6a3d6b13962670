// The gateway's MQTT broker for its devices. aedes speaks the protocol; what matters is decided around it: who may
// connect (listener, admission), what may pass (session, authorize), and above all that a PUBACK leaves only after the
// journal has fsynced. aedes writes the PUBACK before it publishes, so storing happens in authorizePublish
// (docs/decisions/0001-store-before-puback.md); nothing behind that hook carries data.
import type { AuthenticateError, Client, PublishPacket } from 'aedes'
import type { TLSSocket } from 'node:tls'
import type { AppError } from '../../lib/errors.ts'
import type { Logger } from '../../lib/log.ts'
import type { DeviceId, SiteId } from '../../protocol/ids.ts'
import { limits as protocolLimits } from '../../protocol/limits.ts'
import type { EnvelopeEncoding } from '../../protocol/records.ts'
import { deviceTopic, hintTopic } from '../../protocol/topics.ts'
import type { JournalClient } from '../journal/client.ts'
import { admit, siteCas, type Revocations } from './admission.ts'
import { checkConnect, checkPublish, checkSubscribe } from './authorize.ts'
import { DeviceBroker, refusalOf } from './device-broker.ts'
import { startListener, type ListenerLimits } from './listener.ts'
import { DeviceRefusal, type BrokerReason } from './reasons.ts'
import { RefusalLog } from './refusal-log.ts'
import { SessionMemory } from './session-memory.ts'
import { Session, type SessionLimits } from './session.ts'

export interface BrokerLimits extends ListenerLimits, SessionLimits {
  /** From the end of the handshake to CONNECT. */
  connectTimeoutMs: number
  /** A device that has not read what we wrote for so long is cut off. */
  drainTimeoutMs: number
}

export const defaultBrokerLimits: BrokerLimits = {
  maxConnections: 2000,
  maxHandshakes: 64,
  handshakesPerSecond: 200,
  maxQueuedHandshakes: 1000,
  handshakeTimeoutMs: 10_000,
  connectTimeoutMs: 10_000,
  packets: { connectBytes: 8192, publishBytes: protocolLimits.packetBytes, otherBytes: 4096 },
  packetsPerSecond: 2000,
  bytesPerSecond: 8 * 1_048_576,
  maxOutstandingCommands: 8,
  ackTimeoutMs: 30_000,
  holdMs: 20_000,
  drainTimeoutMs: 15_000,
}

export interface BrokerOptions {
  site: SiteId
  listen: { host: string; port: number }
  /** PEM texts: the gateway's certificate with its chain, its key, and the site CA with the root. */
  tls: { cert: string; key: string; ca: string }
  journal: Pick<JournalClient, 'submit' | 'isCongested' | 'onRelief'>
  log: Logger
  /** Who is revoked; may be replaced with setRevocations. */
  revocations?: Revocations
  isQuarantined?: (device: DeviceId) => boolean
  limits?: Partial<BrokerLimits>
  /** Time from a publish to when its PUBACK may leave, for a histogram. */
  observeAckMs?: (ms: number) => void
  /** The broker can not go on (aedes or the listener failed): end the process, the service manager starts it again. */
  onFatal: (error: Error) => void
}

export interface BrokerStats {
  connections: number
  handshaking: number
  devices: number
  publishes: number
  storedRecords: number
  duplicateRecords: number
  payloadBytes: number
  /** Sessions of one identity that replaced each other often: two machines with one certificate. */
  suspectedClones: number
  /** How often each reason (reasons.ts, protocol/refusal.ts) was given. */
  refused: Readonly<Record<string, number>>
}

export interface Broker {
  readonly port: number
  /** Devices that are connected and have their CONNACK. */
  connected(): DeviceId[]
  /**
   * Sends a command to a device that is connected and subscribed: `acked` on its PUBACK, `gone` when it went before
   * that (send again when it is ready), `offline` when it is not there now. Nothing is kept for later.
   */
  send(device: DeviceId, payload: Uint8Array | string): Promise<'acked' | 'offline' | 'gone'>
  /** Cuts a device off; it may come back. False when it is not connected. */
  kick(device: DeviceId, reason: BrokerReason): boolean
  /** From now on; live connections that the new list revokes, or that are quarantined by now, are cut off. */
  setRevocations(revocations: Revocations): void
  /** Sends the hint (site, time, and what is given) to every device, and keeps it for those to come. */
  publishHint(fields?: Readonly<Record<string, unknown>>): void
  onPresence(listener: (device: DeviceId, state: 'here' | 'gone') => void): void
  /** A device has subscribed to its commands: everything that waits for it may be sent. */
  onReady(listener: (device: DeviceId) => void): void
  stats(): BrokerStats
  /** Stops listening and ends every connection. The journal stays open. */
  close(): Promise<void>
}

/** More takeovers than this within the window look like two machines with one certificate. */
const cloneTakeovers = 5
const cloneWindowMs = 60_000

/** Starts listening. Throws AppError when the certificate files or the address cannot be used. */
export async function startBroker(options: BrokerOptions): Promise<Broker> {
  const { site, journal, log, onFatal } = options
  const limits = { ...defaultBrokerLimits, ...options.limits }
  const cas = siteCas(options.tls.ca, site)
  const isQuarantined = options.isQuarantined ?? (() => false)
  const refusals = new RefusalLog(log)
  const sessions = new Set<Session>()
  const live = new Map<DeviceId, Session>()
  /** Devices that were told to be here. */
  const present = new Set<DeviceId>()
  const byConnection = new WeakMap<object, Session>()
  const takeovers = new Map<DeviceId, number[]>()
  const presenceListeners: ((device: DeviceId, state: 'here' | 'gone') => void)[] = []
  const readyListeners: ((device: DeviceId) => void)[] = []
  const counts = { publishes: 0, storedRecords: 0, duplicateRecords: 0, payloadBytes: 0, suspectedClones: 0 }
  let revocations = options.revocations
  let hintFields: Readonly<Record<string, unknown>> = {}
  let isClosing = false

  const hint = () => Buffer.from(JSON.stringify({ ...hintFields, v: 1, site, nowMs: Date.now() }))
  const sessionOf = (client: Client) => byConnection.get(client.conn)

  const memory = new SessionMemory({
    hint,
    onAck: ({ id }, messageId) => live.get(id as DeviceId)?.down.acked(messageId),
  })

  const aedes = new DeviceBroker({
    id: `tidegate-${site}`,
    persistence: memory,
    connectTimeout: limits.connectTimeoutMs,
    drainTimeout: limits.drainTimeoutMs,
    maxTopicLevels: protocolLimits.topicLevels,
    maxClientsIdLength: 63,
    preConnect(client, packet, callback) {
      const session = sessionOf(client)
      if (session === undefined) return callback(null, false)
      try {
        checkConnect(packet, session.device)
        session.setKeepalive(packet.keepalive ?? 0)
      } catch (error) {
        session.connectRefusal = error as DeviceRefusal
      }
      callback(null, true)
    },
    authenticate(client, _username, _password, done) {
      const session = sessionOf(client)
      const refusal = session === undefined ? new DeviceRefusal('no-connect') : session.connectRefusal
      if (session === undefined || refusal !== undefined) return done(refusal as unknown as AuthenticateError, false)
      session.client = client
      const before = live.get(session.device)
      live.set(session.device, session)
      if (before === undefined) return done(null, true)
      // [MQTT-3.1.4-2]: the newer connection wins; the older one is ended first.
      noteTakeover(session.device)
      before.kick('replaced')
      if (before.client === undefined) done(null, true)
      else before.client.close(() => done(null, true))
    },
    authorizePublish(client, packet, callback) {
      const session = client === null ? undefined : sessionOf(client)
      if (session === undefined) return callback(new DeviceRefusal('wrong-topic'))
      let target: EnvelopeEncoding | 'alive'
      try {
        target = checkPublish(packet, session.device)
      } catch (error) {
        return callback(error as DeviceRefusal)
      }
      if (target === 'alive') return callback(null)
      store(session, target, packet).then(() => callback(null), callback)
    },
    authorizeSubscribe(client, subscription, callback) {
      const session = sessionOf(client)
      try {
        if (session === undefined) throw new DeviceRefusal('wrong-topic')
        checkSubscribe(subscription, session.device)
        callback(null, subscription)
      } catch (error) {
        // SUBACK with failure (0x80): the connection stays, the reason is in the log.
        if (session !== undefined) refusals.note(error as DeviceRefusal, session)
        callback(null, null)
      }
    },
    authorizeForward: (client, packet) => (packet.topic === hintTopic && sessionOf(client) ? packet : null),
  })

  /** Stores a publish; resolves, so that the PUBACK may leave, after the fsync. Throws DeviceRefusal: no PUBACK. */
  async function store(session: Session, encoding: EnvelopeEncoding, packet: PublishPacket): Promise<void> {
    const startedMs = performance.now()
    const payload = typeof packet.payload === 'string' ? Buffer.from(packet.payload) : packet.payload
    session.publishSubmitted()
    const outcome = await journal
      .submit(session.device, encoding, payload)
      .catch((error: AppError) => {
        throw new DeviceRefusal(error.code === 'JOURNAL_BUSY' ? 'storage-busy' : 'storage-failed', error.message)
      })
      .finally(() => session.publishDone())
    counts.publishes++
    counts.payloadBytes += payload.length
    switch (outcome.state) {
      case 'stored':
        counts.storedRecords += outcome.stored
        counts.duplicateRecords += outcome.duplicates
        if (outcome.bytes > payload.length) session.charge(outcome.bytes - payload.length)
        break
      case 'over-share':
        throw new DeviceRefusal('over-share', outcome.message)
      case 'refused': {
        const refusal = new DeviceRefusal(outcome.reason, outcome.message)
        // What a newer gateway could read stays with the device; anything else would come back for ever.
        if (outcome.reason === 'version-unsupported') throw refusal
        refusals.note(refusal, session)
      }
    }
    options.observeAckMs?.(performance.now() - startedMs)
  }

  function noteTakeover(device: DeviceId): void {
    const nowMs = performance.now()
    const recent = (takeovers.get(device) ?? []).filter((atMs) => nowMs - atMs < cloneWindowMs)
    recent.push(nowMs)
    takeovers.set(device, recent)
    if (recent.length <= cloneTakeovers) return
    takeovers.delete(device)
    counts.suspectedClones++
    log.warn({ device }, `${device} connects again and again from two places: is its certificate on two machines?`)
  }

  function arrived(session: Session): void {
    if (!present.has(session.device)) {
      present.add(session.device)
      for (const listener of presenceListeners) listener(session.device, 'here')
    }
    noteSubscription(session)
  }

  /** Restored subscriptions come without an event, new ones with. */
  function noteSubscription(session: Session): void {
    const subscriptions = (session.client as unknown as { subscriptions: Record<string, unknown> }).subscriptions
    if (session.isSubscribed || subscriptions[deviceTopic(session.device, 'down')] === undefined) return
    session.isSubscribed = true
    for (const listener of readyListeners) listener(session.device)
  }

  function connectionEnded(session: Session): void {
    session.ended()
    sessions.delete(session)
    if (live.get(session.device) !== session) return
    live.delete(session.device)
    if (present.delete(session.device)) for (const listener of presenceListeners) listener(session.device, 'gone')
  }

  function onPeer(socket: TLSSocket): void {
    try {
      const peer = admit(socket, cas, revocations, isQuarantined)
      const session = new Session({
        peer,
        socket,
        limits,
        isCongested: () => journal.isCongested,
        onRefused: (refusal) => refusals.note(refusal, session),
      })
      sessions.add(session)
      byConnection.set(socket, session)
      socket.once('close', () => connectionEnded(session))
      aedes.handle(socket)
    } catch (error) {
      refusals.note(error as DeviceRefusal, { remote: `${socket.remoteAddress ?? '?'}:${socket.remotePort ?? 0}` })
      socket.destroy()
    }
  }

  /** aedes ends a connection by itself; the log says why, once. */
  function clientFailed(client: Client, error: Error): void {
    const session = sessionOf(client)
    if (session === undefined || session.isEnded) return
    session.isEnded = true
    const refusal = refusalOf(error)
    if (refusal !== undefined) refusals.note(refusal, session)
    else log.debug({ device: session.device, remote: session.remote }, `connection lost: ${error.message}`)
  }

  aedes.on('clientError', clientFailed)
  aedes.on('connectionError', clientFailed)
  aedes.on('clientReady', (client) => {
    const session = sessionOf(client)
    if (session !== undefined && !session.isEnded) arrived(session)
  })
  aedes.on('subscribe', (_subscriptions, client) => {
    const session = sessionOf(client)
    if (session !== undefined && !session.isEnded) noteSubscription(session)
  })
  aedes.on('unsubscribe', (topics, client) => {
    const session = sessionOf(client)
    if (session !== undefined && topics.includes(deviceTopic(session.device, 'down'))) session.isSubscribed = false
  })
  // Without a listener Node would end the process as well, but with a stack instead of a reason.
  ;(aedes as NodeJS.EventEmitter).on('error', onFatal)
  journal.onRelief(() => {
    for (const session of sessions) session.resumeReading()
  })
  await aedes.listen()
  const watchdog = setInterval(() => {
    const nowMs = performance.now()
    for (const session of sessions) if (session.isStalled(nowMs)) session.kick('storage-stalled')
  }, 1000)

  const listener = await startListener({
    ...options.listen,
    ...options.tls,
    limits,
    onPeer,
    onRefused: (refusal, remote) => refusals.note(refusal, { remote }),
    onError: onFatal,
  }).catch((error: unknown) => {
    clearInterval(watchdog)
    aedes.close()
    throw error
  })

  return {
    port: listener.port,
    connected: () => [...present],
    async send(device, payload) {
      const session = live.get(device)
      if (session === undefined || session.isEnded || !session.isSubscribed) return 'offline'
      return session.down.send(deviceTopic(device, 'down'), Buffer.from(payload))
    },
    kick(device, reason) {
      const session = live.get(device)
      session?.kick(reason)
      return session !== undefined
    },
    setRevocations(list) {
      revocations = list
      for (const session of sessions) {
        if (list.isRevoked(session.serial)) session.kick('revoked')
        else if (isQuarantined(session.device)) session.kick('quarantined')
      }
    },
    publishHint(fields = {}) {
      hintFields = fields
      const payload = hint()
      for (const { client, isEnded } of live.values()) {
        const subscriptions = (client as unknown as { subscriptions?: Record<string, unknown> })?.subscriptions
        if (isEnded || client === undefined || subscriptions?.[hintTopic] === undefined) continue
        client.publish({ cmd: 'publish', topic: hintTopic, payload, qos: 0, retain: true, dup: false }, () => {})
      }
    },
    onPresence: (presence) => void presenceListeners.push(presence),
    onReady: (ready) => void readyListeners.push(ready),
    stats: () => ({
      connections: listener.connections,
      handshaking: listener.handshaking,
      devices: live.size,
      ...counts,
      refused: refusals.counts(),
    }),
    async close() {
      if (isClosing) return
      isClosing = true
      clearInterval(watchdog)
      const closed = listener.close()
      for (const session of sessions) session.kick('closing')
      await new Promise<void>((resolve) => void aedes.close(resolve))
      await closed
    },
  }
}
