// A plant for gateway tests: a throwaway PKI, a configuration, the gateway as its own process, and devices that speak
// MQTT through a library of their own.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { text } from 'node:stream/consumers'
import { connect, type MqttClient } from 'mqtt'
import { stringify } from 'yaml'
import { createRoot, createSite, issueDevice, issueServer } from '../../certs/authority.ts'
import { decodeCommand, type Command } from '../../protocol/commands.ts'
import type { DeviceId, Epoch, SiteId } from '../../protocol/ids.ts'
import { loadTrustedKey } from '../../protocol/jws.ts'
import { encodeEnvelope, type DeviceRecord } from '../../protocol/records.ts'
import { deviceTopic } from '../../protocol/topics.ts'

export const site = 'plant-a' as SiteId
const program = fileURLToPath(new URL('../../dist/tidegate-gateway.js', import.meta.url))

export interface GatewayProcess {
  readonly child: ChildProcess
  /** Log lines so far. */
  readonly lines: Record<string, unknown>[]
  /** Resolves with the first line, past or to come, that fits. */
  line(fits: (line: Record<string, unknown>) => boolean): Promise<Record<string, unknown>>
  /** Sends a signal and waits for the end; resolves with the exit code, null when a signal ended it. */
  end(signal: NodeJS.Signals): Promise<number | null>
}

export class Plant {
  readonly dir = mkdtempSync(join(tmpdir(), 'tg-gateway-'))
  readonly pki = join(this.dir, 'pki')
  readonly config = join(this.dir, 'gateway.yaml')
  readonly dataDir = join(this.dir, 'data')
  devicePort = 0
  adminPort = 0
  readonly #running = new Set<GatewayProcess>()
  readonly #devices = new Set<TestDevice>()

  /** Makes the PKI; configure() and run() come next. */
  static async create(devices: readonly string[]): Promise<Plant> {
    const plant = new Plant()
    const { pki } = plant
    await createRoot({ pki, deployment: 'Test' })
    await createSite({ pki, site })
    await issueServer({ pki, role: 'gateway', site, loopback: true })
    await issueServer({ pki, role: 'coordinator', loopback: true })
    for (const device of devices) await issueDevice({ pki, site, device })
    ;[plant.devicePort, plant.adminPort] = [await freePort(), await freePort()]
    return plant
  }

  configure(centreUrl: string, overrides: Record<string, unknown> = {}): void {
    const inSite = (...path: string[]) => join('pki', 'sites', site, ...path)
    const config = {
      site,
      dataDir: 'data',
      devices: {
        listen: `127.0.0.1:${this.devicePort}`,
        cert: inSite('gateway', 'cert.pem'),
        key: inSite('gateway', 'key.pem'),
        ca: inSite('chain.pem'),
        crl: inSite('crl.pem'),
      },
      signing: { key: inSite('signing.key'), pub: inSite('signing.pub') },
      admin: { listen: `127.0.0.1:${this.adminPort}` },
      centre: { url: centreUrl, ca: 'pki/root/ca.pem', trust: ['pki/centre/command-signing.pub'] },
      uplink: { linger: '20ms', answerTimeout: '5s', connectTimeout: '2s' },
      log: { level: 'debug' },
      ...overrides,
    }
    writeFileSync(this.config, stringify(config))
  }

  /** Starts the gateway and waits until it serves. */
  async run(): Promise<GatewayProcess> {
    const gateway = this.start()
    await gateway.line(({ msg }) => msg === 'gateway is serving')
    return gateway
  }

  start(): GatewayProcess {
    const child = spawn(process.execPath, [program, 'run', '--config', this.config], {
      stdio: ['ignore', 'inherit', 'pipe'],
    })
    const gateway = watch(child)
    this.#running.add(gateway)
    child.once('exit', () => this.#running.delete(gateway))
    return gateway
  }

  /** Runs a command of the gateway's program. */
  async cli(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
    const child = spawn(process.execPath, [program, ...args, '--config', this.config])
    const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
    return { code: code as number, stdout, stderr }
  }

  /** The admin API, with the token. */
  async api<T>(method: 'GET' | 'POST', path: string, body?: unknown): Promise<T> {
    const token = readFileSync(join(this.dataDir, 'admin.token'), 'utf8').trim()
    const response = await fetch(`http://127.0.0.1:${this.adminPort}${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    return (await response.json()) as T
  }

  async device(id: string): Promise<TestDevice> {
    const device = await TestDevice.connect(this.pki, id as DeviceId, this.devicePort)
    this.#devices.add(device)
    return device
  }

  async remove(): Promise<void> {
    for (const device of this.#devices) device.drop()
    for (const gateway of [...this.#running]) await gateway.end('SIGKILL')
    rmSync(this.dir, { recursive: true, force: true })
  }
}

/** A device that publishes envelopes, and keeps commands until asked for. */
export class TestDevice {
  readonly id: DeviceId
  readonly epoch: Epoch
  readonly #client: MqttClient
  readonly #commands: Command[] = []
  #waiters: (() => void)[] = []
  #seq = 0

  private constructor(id: DeviceId, client: MqttClient) {
    this.id = id
    this.epoch = `epoch-${id}-${process.hrtime.bigint().toString(36)}` as Epoch
    this.#client = client
  }

  static async connect(pki: string, id: DeviceId, port: number): Promise<TestDevice> {
    const read = (...path: string[]) => readFileSync(join(pki, ...path))
    const client = connect({
      protocol: 'mqtts',
      host: '127.0.0.1',
      port,
      clientId: id,
      clean: false,
      keepalive: 30,
      reconnectPeriod: 0,
      ca: read('root', 'ca.pem'),
      cert: read('sites', site, 'devices', id, 'cert.pem'),
      key: read('sites', site, 'devices', id, 'key.pem'),
    })
    await new Promise<void>((resolve, reject) => {
      client.once('connect', () => resolve())
      client.once('error', reject)
      client.once('close', () => reject(new Error('the connection was closed')))
    })
    client.on('error', () => undefined)
    const device = new TestDevice(id, client)
    const keys = [
      await loadTrustedKey(read('centre', 'command-signing.pub').toString(), 'centre'),
      await loadTrustedKey(read('sites', site, 'signing.pub').toString(), 'plant'),
    ]
    client.on('message', (_topic, payload) => {
      void decodeCommand(payload.toString(), keys).then((command) => {
        device.#commands.push(command)
        for (const resume of device.#waiters.splice(0)) resume()
      })
    })
    return device
  }

  /** Listens for commands. */
  async subscribe(): Promise<void> {
    await this.#client.subscribeAsync(deviceTopic(this.id, 'down'), { qos: 1 })
  }

  /** The next command; waits for it. */
  async command(): Promise<Command> {
    while (this.#commands.length === 0) await new Promise<void>((resolve) => this.#waiters.push(resolve))
    return this.#commands.shift() as Command
  }

  /** Publishes records in one envelope and resolves at its PUBACK. */
  async publish(...records: Omit<DeviceRecord, 'seq'>[]): Promise<void> {
    const numbered = records.map((record) => ({ ...record, seq: ++this.#seq }) as DeviceRecord)
    const payload = encodeEnvelope({ v: 1, device: this.id, epoch: this.epoch, records: numbered }, 'json')
    await this.#client.publishAsync(deviceTopic(this.id, 'up'), payload, { qos: 1 })
  }

  /** Leaves numbers out, as an outbox does whose records were lost. */
  skip(count: number): void {
    this.#seq += count
  }

  async answer(queryId: string, rows: unknown[][]): Promise<void> {
    const columns = rows.map((_, index) => `c${index}`)
    await this.publish({ kind: 'answer', queryId, status: 'ok', columns, rows, part: 0, parts: 1 })
  }

  /** Cuts the connection without a DISCONNECT. */
  drop(): void {
    this.#client.stream.destroy()
    this.#client.end(true)
  }
}

export const snapshot = (name: string, ...values: string[]) => ({
  kind: 'snapshot',
  name,
  columns: ['v'],
  rows: [values],
  mode: 'snapshot',
})

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

function watch(child: ChildProcess): GatewayProcess {
  const lines: Record<string, unknown>[] = []
  let waiters: (() => void)[] = []
  let rest = ''
  const wake = () => {
    const woken = waiters
    waiters = []
    for (const resume of woken) resume()
  }
  const exited = once(child, 'exit').then(([code]) => {
    wake()
    return code as number | null
  })
  child.stderr?.on('data', (chunk: Buffer) => {
    const parts = (rest + chunk.toString()).split('\n')
    rest = parts.pop() ?? ''
    for (const part of parts) {
      try {
        lines.push(JSON.parse(part) as Record<string, unknown>)
      } catch {
        lines.push({ msg: part })
      }
    }
    wake()
  })
  return {
    child,
    lines,
    async line(fits) {
      for (;;) {
        const found = lines.find(fits)
        if (found) return found
        if (child.exitCode !== null || child.signalCode !== null) {
          throw new Error(`the gateway ended: ${JSON.stringify(lines.slice(-5))}`)
        }
        await new Promise<void>((resolve) => waiters.push(resolve))
      }
    },
    end(signal) {
      child.kill(signal)
      return exited
    },
  }
}
