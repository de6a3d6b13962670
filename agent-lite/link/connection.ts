// One connection to the gateway. mqtt.js speaks the protocol and nothing else: it never reconnects, never queues and never
// sends again, because the outbox does. Each connection has a new client, so that nothing outlives it there.
import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { checkServerIdentity, connect as tlsConnect, type PeerCertificate, type TLSSocket } from 'node:tls'
import mqttClient from 'mqtt/lib/client'
import { identityOf } from '../../certs/peer.ts'
import { explain, LinkProblem } from './problems.ts'

// The client alone: the package's entry adds WebSockets and SOCKS, 180 KiB. It is CommonJS with a default export, which
// Node and esbuild hand over as module.exports and vitest unwraps.
const MqttClient = mqttClient.default ?? (mqttClient as unknown as typeof mqttClient.default)

export interface ConnectionOptions {
  gateway: { host: string; port: number }
  /** Files; read anew for each connection, so that a renewed certificate is taken up. */
  tls: { ca: string; cert: string; key: string }
  site: string
  device: string
  keepaliveMs: number
  connectTimeoutMs: number
  /** Gives up an attempt to connect. */
  signal: AbortSignal
  /** What the gateway publishes for this device when the connection ends without a goodbye. Retained. */
  will: { topic: string; payload: string }
  /** A QoS 1 message is acknowledged when this resolves, and not at all when it rejects. */
  onMessage(topic: string, payload: Buffer): Promise<void>
}

/** Satellite and mobile links need longer than Node's 250 ms before the next address is tried. */
const addressAttemptMs = 5000
const goodbyeMs = 1000

export class Connection {
  /** Resolves when the connection is over: with the problem, or undefined when this side ended it. */
  readonly closed: Promise<LinkProblem | undefined>
  readonly #client: InstanceType<typeof MqttClient>
  readonly #socket: TLSSocket
  readonly #unacknowledged = new Set<(problem: LinkProblem) => void>()
  #problem: LinkProblem | undefined
  #isEnding = false

  /** Resolves after CONNACK; rejects with LinkProblem. */
  static async open(options: ConnectionOptions): Promise<Connection> {
    const files = await readFiles(options.tls)
    const connection = new Connection(options, files)
    await connection.#opened(options, files.cert)
    return connection
  }

  private constructor(options: ConnectionOptions, files: { ca: Buffer; cert: Buffer; key: Buffer }) {
    const { gateway, will } = options
    // The types of tls.connect leave out what it hands on to net.connect.
    const socketOptions = {
      ...gateway,
      ...files,
      ...(isIP(gateway.host) === 0 ? { servername: gateway.host } : {}),
      rejectUnauthorized: true,
      minVersion: 'TLSv1.2' as const,
      checkServerIdentity: (host: string, certificate: PeerCertificate) => checkGateway(host, certificate, options),
      autoSelectFamily: true,
      autoSelectFamilyAttemptTimeout: addressAttemptMs,
    }
    try {
      this.#socket = tlsConnect(socketOptions)
    } catch (error) {
      throw new LinkProblem(
        'own-certificate',
        `the files under 'tls' cannot be used: ${(error as Error).message}`,
        'tidegate certs inspect cert.pem tells why',
        error,
      )
    }
    const fail = (error: Error) => void (this.#problem ??= explain(error, gateway))
    this.#socket.setNoDelay(true)
    this.#socket.on('error', fail)
    this.#client = new MqttClient(() => this.#socket, {
      clientId: options.device,
      clean: false,
      reconnectPeriod: 0,
      queueQoSZero: false,
      resubscribe: false,
      keepalive: Math.ceil(options.keepaliveMs / 1000),
      connectTimeout: options.connectTimeoutMs,
      timerVariant: 'native',
      will: { ...will, payload: Buffer.from(will.payload), qos: 1, retain: true },
    })
    this.#client.on('error', (error) => {
      fail(error)
      this.#socket.destroy()
    })
    this.#client.handleMessage = ({ topic, payload }, done) => {
      options.onMessage(topic, Buffer.from(payload)).then(() => done(), done)
    }
    this.closed = new Promise((resolve) => {
      this.#client.once('close', () => {
        const problem = this.#problem ?? new LinkProblem('lost', `the gateway ${gateway.host} ended the connection`)
        for (const reject of this.#unacknowledged) reject(problem)
        this.#unacknowledged.clear()
        resolve(this.#isEnding ? undefined : problem)
      })
    })
  }

  async #opened({ gateway, signal }: ConnectionOptions, cert: Buffer): Promise<void> {
    const giveUp = () => void this.#socket.destroy()
    signal.addEventListener('abort', giveUp)
    if (signal.aborted) giveUp()
    const opened = new Promise<'opened'>((resolve) => this.#client.once('connect', () => resolve('opened')))
    const outcome = await Promise.race([opened, this.closed])
    signal.removeEventListener('abort', giveUp)
    if (outcome === 'opened') return
    const problem = this.#problem ?? new LinkProblem('lost', `${gateway.host}:${gateway.port} ended the connection`)
    // A server on Node refuses a client's certificate after the handshake, by hanging up.
    throw problem.kind === 'lost' && this.#socket.authorized ? hungUp(gateway, cert) : problem
  }

  /** QoS 1: resolves on the PUBACK, rejects with LinkProblem when the connection ends before. */
  publish(topic: string, payload: Buffer, { retain = false } = {}): Promise<void> {
    return new Promise((resolve, reject) => {
      // mqtt.js would keep it for a connection that never comes.
      if (!this.#client.connected) return reject(this.#problem ?? new LinkProblem('lost', 'not connected'))
      this.#unacknowledged.add(reject)
      this.#client.publish(topic, payload, { qos: 1, retain }, (error) => {
        this.#unacknowledged.delete(reject)
        if (error) reject(new LinkProblem('other', error.message, undefined, error))
        else resolve()
      })
    })
  }

  /** QoS 1. Resolves with the topics that the gateway did not grant. */
  async subscribe(topics: readonly string[]): Promise<string[]> {
    if (!this.#client.connected) throw this.#problem ?? new LinkProblem('lost', 'not connected')
    const granted = await this.#client.subscribeAsync([...topics], { qos: 1 })
    return granted.filter(({ qos }) => qos === 128).map(({ topic }) => topic)
  }

  /** Ends the connection because of a problem that the other layers found. */
  fail(problem: LinkProblem): void {
    this.#problem ??= problem
    this.#socket.destroy()
  }

  /** Says goodbye and ends the connection; what is not acknowledged by then never will be. */
  async end(): Promise<void> {
    this.#isEnding = true
    this.#client.end(this.#unacknowledged.size > 0)
    const timer = setTimeout(() => this.#socket.destroy(), goodbyeMs)
    await this.closed
    clearTimeout(timer)
  }
}

/** Why a gateway would hang up on this device before it answered CONNECT. */
function hungUp({ host, port }: ConnectionOptions['gateway'], cert: Buffer): LinkProblem {
  const { validTo } = new X509Certificate(cert)
  return Date.parse(validTo) < Date.now()
    ? new LinkProblem(
        'refused',
        `the gateway ${host}:${port} refused this device: its certificate expired on ${validTo}`,
        'issue a new one: tidegate certs issue',
      )
    : new LinkProblem(
        'refused',
        `the gateway ${host}:${port} hung up on this device before it said a word`,
        "its log says why: this device's certificate may be revoked, of another site, or the device quarantined",
      )
}

async function readFiles(tls: ConnectionOptions['tls']): Promise<{ ca: Buffer; cert: Buffer; key: Buffer }> {
  try {
    const [ca, cert, key] = await Promise.all([readFile(tls.ca), readFile(tls.cert), readFile(tls.key)])
    return { ca, cert, key }
  } catch (error) {
    const { code, path } = error as NodeJS.ErrnoException
    throw new LinkProblem(
      'own-certificate',
      `cannot read ${path ?? "a file under 'tls'"}: ${String(code)}`,
      'check the paths under tls in agent.yaml, their owner and permissions',
      error,
    )
  }
}

/** Beyond the host name: it must be the gateway of this site, not any server under the same root. */
function checkGateway(host: string, certificate: PeerCertificate, { site }: ConnectionOptions): Error | undefined {
  const error = checkServerIdentity(host, certificate)
  if (error !== undefined) return error
  try {
    const { id, role } = identityOf(certificate)
    if (role === 'gateway' && id === site) return undefined
    return new LinkProblem('wrong-gateway', `this is the ${role} ${id}, not the gateway of site ${site}`)
  } catch (refusal) {
    return refusal as Error
  }
}
