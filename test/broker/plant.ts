// A plant for the broker's tests: a throwaway PKI, the real journal thread on a real disk, the real broker on a free
// port, and devices that speak through mqtt.js.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { connect as tcpConnect, type Socket } from 'node:net'
import { connect as tlsConnect, type TLSSocket } from 'node:tls'
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt'
import mqttPacket from 'mqtt-packet'
import { pino } from 'pino'
import { createRoot, createSite, issueDevice, issueServer, revoke } from '../../certs/authority.ts'
import { readLeaf } from '../../certs/leaf.ts'
import { layoutOf } from '../../certs/layout.ts'
import type { ValidityWish } from '../../certs/validity.ts'
import { startBroker, type Broker, type BrokerOptions } from '../../gateway/broker/index.ts'
import { startJournal, type JournalClient, type JournalClientOptions } from '../../gateway/journal/client.ts'
import { SiteId, type DeviceId } from '../../protocol/ids.ts'
import type { DeviceRecord } from '../../protocol/records.ts'
import { deviceTopic } from '../../protocol/topics.ts'

export const site = SiteId.parse('plant-a')

export interface Identity {
  ca: string
  cert: string
  key: string
}

export interface LogLine {
  level: number
  msg: string
  reason?: string
  device?: string
}

/** PKI files of one site, made in a folder. */
export class Pki {
  readonly folder: string
  readonly #site: string

  private constructor(folder: string, siteId: string) {
    this.folder = folder
    this.#site = siteId
  }

  static async create(folder: string, siteId: string = site): Promise<Pki> {
    await createRoot({ pki: folder, deployment: 'Test Works' })
    await createSite({ pki: folder, site: siteId })
    await issueServer({ pki: folder, role: 'gateway', site: siteId, loopback: true })
    return new Pki(folder, siteId)
  }

  /** Another site of the same deployment. */
  async neighbour(siteId: string): Promise<Pki> {
    await createSite({ pki: this.folder, site: siteId })
    return new Pki(this.folder, siteId)
  }

  get ca(): string {
    return readFileSync(join(layoutOf(this.folder).site(this.#site), 'chain.pem'), 'utf8')
  }

  async gateway(): Promise<Identity> {
    const { certPem, keyPem } = await readLeaf(layoutOf(this.folder).gateway(this.#site))
    return { ca: this.ca, cert: certPem, key: keyPem }
  }

  async device(device: string, validity?: ValidityWish): Promise<Identity> {
    const wish = { pki: this.folder, site: this.#site, device, force: true }
    const { folder } = await issueDevice(validity === undefined ? wish : { ...wish, validity })
    const { certPem, keyPem } = await readLeaf(folder)
    return { ca: this.ca, cert: certPem, key: keyPem }
  }

  async revoke(device: string): Promise<string> {
    return (await revoke({ pki: this.folder, site: this.#site, subject: { role: 'device', id: device } })).crl.pem
  }
}

export class Plant {
  readonly folder: string
  readonly pki: Pki
  readonly journal: JournalClient
  readonly broker: Broker
  readonly logLines: LogLine[]
  readonly fatal: Error[]
  readonly #clients: MqttClient[] = []
  readonly #logWaiters: (() => void)[]

  private constructor(
    parts: Pick<Plant, 'folder' | 'pki' | 'journal' | 'broker' | 'logLines' | 'fatal'>,
    waiters: (() => void)[],
  ) {
    this.folder = parts.folder
    this.pki = parts.pki
    this.journal = parts.journal
    this.broker = parts.broker
    this.logLines = parts.logLines
    this.fatal = parts.fatal
    this.#logWaiters = waiters
  }

  static async start(
    options: { broker?: Partial<BrokerOptions>; journal?: Partial<JournalClientOptions> } = {},
  ): Promise<Plant> {
    const folder = mkdtempSync(join(tmpdir(), 'tidegate-broker-'))
    const pki = await Pki.create(join(folder, 'pki'))
    const journal = await startJournal({ path: join(folder, 'journal.db'), ...options.journal })
    const logLines: LogLine[] = []
    const waiters: (() => void)[] = []
    const stream = new Writable({
      write(chunk: Buffer, _encoding, done) {
        logLines.push(JSON.parse(chunk.toString()) as LogLine)
        for (const waiter of waiters) waiter()
        done()
      },
    })
    const fatal: Error[] = []
    const broker = await startBroker({
      site,
      listen: { host: '127.0.0.1', port: 0 },
      tls: await pki.gateway(),
      journal,
      log: pino({ level: 'debug' }, stream),
      onFatal: (error) => void fatal.push(error),
      ...options.broker,
    })
    return new Plant({ folder, pki, journal, broker, logLines, fatal }, waiters)
  }

  /** A connected device. Its own reconnecting is off: a test decides. */
  async connect(identity: Identity, device: string, options: IClientOptions = {}): Promise<MqttClient> {
    const client = this.dial(identity, device, options)
    await new Promise<void>((resolve, reject) => {
      client.once('connect', () => resolve())
      client.once('error', reject)
      client.once('close', () => reject(new Error('closed before CONNACK')))
    })
    return client
  }

  dial(identity: Identity, device: string, options: IClientOptions = {}): MqttClient {
    const client = mqtt.connect({
      protocol: 'mqtts',
      host: '127.0.0.1',
      port: this.broker.port,
      ...identity,
      clientId: device,
      clean: false,
      reconnectPeriod: 0,
      keepalive: 30,
      ...options,
    })
    client.on('error', () => {})
    this.#clients.push(client)
    return client
  }

  /** A TLS connection that speaks whatever the test writes. */
  async dialRaw(identity: Partial<Identity>): Promise<TLSSocket> {
    const socket = tlsConnect({ host: '127.0.0.1', port: this.broker.port, ...identity })
    socket.on('error', () => {})
    await new Promise<void>((resolve) => {
      socket.once('secureConnect', resolve)
      socket.once('close', () => resolve())
    })
    return socket
  }

  /** A connection with its CONNACK, for bytes and silences that no client library would produce. */
  async connectRaw(identity: Identity, clientId: string): Promise<TLSSocket> {
    const socket = await this.dialRaw(identity)
    const connect = {
      cmd: 'connect',
      clientId,
      clean: true,
      keepalive: 30,
      protocolId: 'MQTT',
      protocolVersion: 4,
    } as const
    socket.write(mqttPacket.generate(connect))
    await new Promise<void>((resolve) => void socket.once('data', () => resolve()))
    return socket
  }

  /** A TCP connection without TLS, from this loopback address. */
  dialTcp(localAddress = '127.0.0.1'): Socket {
    const socket = tcpConnect({ port: this.broker.port, host: '127.0.0.1', localAddress })
    socket.on('error', () => {})
    return socket.resume()
  }

  /** Resolves with the first line, past or to come, that was logged with this reason. */
  async logged(reason: string): Promise<LogLine> {
    return this.until(() => this.logLines.find((line) => line.reason === reason))
  }

  async until<T>(find: () => T | undefined): Promise<T> {
    for (;;) {
      const found = find()
      if (found !== undefined) return found
      await new Promise<void>((resolve) => void this.#logWaiters.push(resolve))
    }
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) client.end(true)
    await this.broker.close()
    await this.journal.close()
    rmSync(this.folder, { recursive: true, force: true })
  }
}

export const epoch = 'epoch-of-tests'

export function snapshot(seq: number, name = 'uptime'): DeviceRecord {
  return { kind: 'snapshot', seq, atMs: 1_700_000_000_000 + seq, name, columns: ['total_seconds'], rows: [[seq]] }
}

export function envelope(
  device: string,
  records: readonly DeviceRecord[],
  extra: Record<string, unknown> = {},
): Buffer {
  return Buffer.from(JSON.stringify({ v: 1, device, epoch, clock: 'synced', records, ...extra }))
}

/** Publishes to `up`; resolves on the PUBACK, rejects when the connection ends before. */
export async function publish(
  client: MqttClient,
  device: string,
  payload: Buffer,
  kind: 'up' | 'up/br' = 'up',
): Promise<void> {
  await publishTo(client, deviceTopic(device as DeviceId, kind), payload)
}

export function publishTo(client: MqttClient, topic: string, payload: Buffer, qos: 0 | 1 | 2 = 1): Promise<void> {
  return new Promise((resolve, reject) => {
    const closed = () => reject(new Error('closed before PUBACK'))
    client.once('close', closed)
    client.publish(topic, payload, { qos }, (error) => {
      client.off('close', closed)
      if (error) reject(error)
      else resolve()
    })
  })
}

/** Resolves when the broker has ended the connection. */
export function closed(connection: MqttClient | Socket): Promise<void> {
  const isGone = 'destroyed' in connection ? connection.destroyed : connection.stream?.destroyed
  if (isGone) return Promise.resolve()
  return new Promise((resolve) => void (connection as NodeJS.EventEmitter).once('close', () => resolve()))
}
