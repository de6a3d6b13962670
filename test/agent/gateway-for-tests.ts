// A gateway that does what a test tells it: a real MQTT broker behind real TLS, which stores envelopes in memory and
// acknowledges, holds or cuts as asked. Commands go down as the real one sends them.
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type Server, type TLSSocket } from 'node:tls'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Aedes, type Client } from 'aedes'
import { createRoot, createSite, issueDevice, issueServer } from '../../certs/authority.ts'
import { layoutOf } from '../../certs/layout.ts'
import { encodeCommand, type CommandInput } from '../../protocol/commands.ts'
import { DeviceId } from '../../protocol/ids.ts'
import { createSigner, type Signer } from '../../protocol/jws.ts'
import { decodeEnvelope, type AnswerRecord, type DeviceRecord, type Envelope } from '../../protocol/records.ts'
import { deviceTopic, hintTopic, parseTopic } from '../../protocol/topics.ts'

export const site = 'plant-a'
export const device = DeviceId.parse('press-1')

/** Files of one deployment with one site and one device. */
export class Pki {
  readonly paths: ReturnType<typeof layoutOf>
  readonly centre: Signer

  private constructor(paths: ReturnType<typeof layoutOf>, centre: Signer) {
    this.paths = paths
    this.centre = centre
  }

  static async create(folder: string): Promise<Pki> {
    await createRoot({ pki: folder, deployment: 'Test Works' })
    await createSite({ pki: folder, site })
    await issueServer({ pki: folder, role: 'gateway', site, dns: ['localhost'] })
    await issueDevice({ pki: folder, site, device })
    const paths = layoutOf(folder)
    return new Pki(paths, await signerIn(paths.centre, 'command-signing'))
  }

  get ca(): string {
    return join(this.paths.root, 'ca.pem')
  }

  get tls(): { ca: string; cert: string; key: string } {
    const folder = this.paths.device(site, device)
    return { ca: this.ca, cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') }
  }

  get trust(): { centre: string[]; plant: string[] } {
    return {
      centre: [join(this.paths.centre, 'command-signing.pub')],
      plant: [join(this.paths.site(site), 'signing.pub')],
    }
  }

  plant(): Promise<Signer> {
    return signerIn(this.paths.site(site), 'signing')
  }
}

function signerIn(folder: string, name: string): Promise<Signer> {
  const file = (end: string) => readFileSync(join(folder, `${name}.${end}`), 'utf8')
  return createSigner(file('key'), file('pub'))
}

/** `cut`: stored, but the connection ends before the PUBACK; `drop`: the connection ends and nothing was stored. */
export type Verdict = 'ack' | 'hold' | 'cut' | 'drop'

export class TestGateway {
  /** Every envelope that was stored, in order. */
  readonly envelopes: Envelope[] = []
  readonly topics: string[] = []
  readonly alive: unknown[] = []
  /** Publishes without their PUBACK, and the most there ever were. */
  unacknowledged = 0
  maxUnacknowledged = 0
  connects = 0
  verdict: (envelope: Envelope) => Verdict = () => 'ack'
  readonly #aedes: Aedes
  readonly #server: Server
  readonly #sockets = new Map<unknown, TLSSocket>()
  readonly #held: (() => void)[] = []
  #changed: (() => void)[] = []
  #commandCount = 0

  private constructor(aedes: Aedes, server: Server) {
    this.#aedes = aedes
    this.#server = server
  }

  /** Listens on a loopback port, a free one unless told. */
  static async start(leaf: { cert: string; key: string }, ca: string, port = 0): Promise<TestGateway> {
    const server = createServer({
      cert: readFileSync(leaf.cert),
      key: readFileSync(leaf.key),
      ca: readFileSync(ca),
      requestCert: true,
      rejectUnauthorized: true,
    })
    server.on('tlsClientError', () => {})
    const aedes = new Aedes()
    const gateway = new TestGateway(aedes, server)
    aedes.authorizePublish = (client, packet, callback) => {
      if (client === null) return callback(null)
      const kind = parseTopic(packet.topic)?.kind
      gateway.topics.push(packet.topic)
      if (kind === 'alive') {
        gateway.alive.push(JSON.parse(packet.payload.toString()))
        callback(null)
        return gateway.#notify()
      }
      gateway.#store(client, decodeEnvelope(Buffer.from(packet.payload), kind === 'up' ? 'json' : 'br', device), () =>
        callback(null),
      )
    }
    aedes.on('clientReady', () => {
      gateway.connects++
      gateway.#notify()
    })
    aedes.on('subscribe', () => gateway.#notify())
    aedes.on('clientDisconnect', () => gateway.#notify())
    aedes.on('clientError', () => {})
    aedes.on('connectionError', () => {})
    server.on('secureConnection', (socket: TLSSocket) => {
      socket.on('error', () => {})
      gateway.#sockets.set(aedes.handle(socket), socket)
      socket.once('close', () => {
        // What this connection had not acknowledged, the next one sends again.
        gateway.unacknowledged = 0
        gateway.#held.length = 0
      })
    })
    await aedes.listen()
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    return gateway
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get records(): DeviceRecord[] {
    return this.envelopes.flatMap(({ records }) => records)
  }

  /** Parts of the answer to a query so far, in the order of the parts. */
  answer(queryId: string): AnswerRecord[] {
    // Delivery is at least once: a seq that came twice counts once.
    const parts = new Map<number | undefined, AnswerRecord>()
    for (const record of this.records) {
      if (record.kind === 'answer' && record['queryId'] === queryId) parts.set(record.seq, record as AnswerRecord)
    }
    return [...parts.values()].sort((left, right) => left.part - right.part)
  }

  /** The whole answer, once all of its parts are here. */
  answered(queryId: string): Promise<AnswerRecord[]> {
    return this.until(() => {
      const parts = this.answer(queryId)
      return parts.length > 0 && parts.length === parts[0]?.parts ? parts : undefined
    })
  }

  /** Signs a command for the device and sends it down. Resolves on the device's PUBACK. */
  async command(signer: Signer, wish: Partial<CommandInput> & Pick<CommandInput, 'kind' | 'body'>): Promise<string> {
    const nowMs = Date.now()
    const command = {
      v: 1,
      id: `${wish.kind === 'query' ? 'q' : 'c'}-${++this.#commandCount}`,
      authority: 'centre',
      issuedAtMs: nowMs,
      notBeforeMs: nowMs,
      notAfterMs: nowMs + 600_000,
      target: { site, devices: [device] },
      ...wish,
    } as CommandInput
    await this.send(await encodeCommand(command, signer))
    return command.id
  }

  query(signer: Signer, sql: string, body: Record<string, unknown> = {}): Promise<string> {
    return this.command(signer, { kind: 'query', body: { sql, ...body } })
  }

  /** Resolves on the device's PUBACK. */
  async send(jws: string): Promise<void> {
    await this.until(() => this.isListening || undefined)
    const acknowledged = new Promise<void>((resolve) => {
      const onAck = (packet: { payload?: unknown } | undefined) => {
        if (String(packet?.payload) !== jws) return
        this.#aedes.off('ack', onAck as never)
        resolve()
      }
      this.#aedes.on('ack', onAck as never)
    })
    const topic = deviceTopic(device, 'down')
    this.#aedes.publish(
      { cmd: 'publish', topic, payload: Buffer.from(jws), qos: 1, retain: false, dup: false },
      () => {},
    )
    await acknowledged
  }

  hint(payload: string): void {
    this.#aedes.publish(
      { cmd: 'publish', topic: hintTopic, payload: Buffer.from(payload), qos: 0, retain: true, dup: false },
      () => {},
    )
  }

  get isListening(): boolean {
    return [...this.#sockets].some(([client, socket]) => {
      const { subscriptions } = client as unknown as { subscriptions: Record<string, unknown> }
      return !socket.destroyed && subscriptions[deviceTopic(device, 'down')] !== undefined
    })
  }

  /** Ends every connection without a goodbye. */
  cut(): void {
    for (const [client, socket] of this.#sockets) {
      this.#sockets.delete(client)
      socket.destroy()
    }
  }

  /** Acknowledges what was held. */
  release(): void {
    for (const acknowledge of this.#held.splice(0)) acknowledge()
  }

  async until<T>(find: () => T | undefined): Promise<T> {
    for (;;) {
      const found = find()
      if (found !== undefined) return found
      await new Promise<void>((resolve) => void this.#changed.push(resolve))
    }
  }

  async stop(): Promise<void> {
    this.cut()
    this.#server.close()
    await new Promise<void>((resolve) => this.#aedes.close(resolve))
  }

  #store(client: Client, envelope: Envelope, acknowledge: () => void): void {
    const verdict = this.verdict(envelope)
    if (verdict !== 'drop') this.envelopes.push(envelope)
    this.unacknowledged++
    this.maxUnacknowledged = Math.max(this.maxUnacknowledged, this.unacknowledged)
    const done = () => {
      this.unacknowledged--
      acknowledge()
    }
    if (verdict === 'ack') done()
    else if (verdict === 'hold') this.#held.push(done)
    else {
      // aedes finishes with the packet, but nothing it writes leaves this machine any more.
      this.#sockets.get(client)?.destroy()
      done()
    }
    this.#notify()
  }

  #notify(): void {
    const changed = this.#changed
    this.#changed = []
    for (const resolve of changed) resolve()
  }
}
