// The load generator, a process of its own: mutually authenticated connections that each keep a number of QoS 1
// publishes in flight, written and read as raw bytes so that it costs less than what it measures.
// Gets its orders as JSON in argv, writes its figures as JSON to stdout.
import { readFileSync } from 'node:fs'
import { connect, type TLSSocket } from 'node:tls'
import mqttPacket from 'mqtt-packet'

export interface LoadOrders {
  port: number
  ca: string
  devices: { id: string; cert: string; key: string }[]
  /** One more device, which publishes on schedule whatever the others do. */
  probe: { id: string; cert: string; key: string }
  inFlight: number
  payloadBytes: number
  warmupMs: number
  measureMs: number
}

export interface LoadFigures {
  acked: number
  /** PUBACKs within the measured time. */
  measured: number
  seconds: number
  /** PUBACKs per second in each fifth part of the time: whether the target slows down as it holds more. */
  series: number[]
  p50Ms: number
  p99Ms: number
  maxMs: number
  /**
   * Of the probe, from the moment a publish was due: what a device sees that does not wait for the broker. The figures
   * above leave out whatever would have been sent while the broker stood still.
   */
  probeP50Ms: number
  probeP99Ms: number
  probeMaxMs: number
}

const probeEveryMs = 10

const orders = JSON.parse(process.argv[2] ?? '') as LoadOrders
const ca = readFileSync(orders.ca)
const latencies: number[] = []
const probeLatencies: number[] = []
const parts = [0, 0, 0, 0, 0]
let acked = 0
let measureFromMs = Infinity
let stopAtMs = Infinity

/** Every message has its own seq, all of one width, so that a publish is a copy of the last one with a few digits changed. */
const firstSeq = 1_000_000_000

class Device {
  readonly #id: string
  readonly #sentMs = new Float64Array(65_536)
  /** A whole PUBLISH; message id and seq are written into each copy. */
  readonly #template: Buffer
  readonly #idAt: number
  readonly #seqAt: number
  #socket: TLSSocket | undefined
  #sent = 0
  #rest: Buffer = Buffer.alloc(0)
  outstanding = 0

  readonly #latencies: number[]
  readonly #isProbe: boolean

  constructor(id: string, isProbe = false) {
    this.#id = id
    this.#isProbe = isProbe
    this.#latencies = isProbe ? probeLatencies : latencies
    const topic = `tg/1/${id}/up`
    const head = `{"v":1,"device":"${id}","epoch":"bench-epoch-1","clock":"synced","records":[{"kind":"snapshot","seq":`
    const row = `${firstSeq},"atMs":1790000000000,"name":"processes","columns":["pid","name","cmdline"],"rows":[[42],["worker"],["`
    const tail = '"]]}]}'
    const fill = 'abcdefghijklmnop'.repeat(64).slice(0, orders.payloadBytes - head.length - row.length - tail.length)
    const payload = `${head}${row}${fill}${tail}`
    this.#template = mqttPacket.generate({
      cmd: 'publish',
      topic,
      payload,
      qos: 1,
      messageId: 1,
      dup: false,
      retain: false,
    })
    const payloadAt = this.#template.length - payload.length
    this.#idAt = payloadAt - 2
    this.#seqAt = payloadAt + head.length
  }

  async connect(cert: string, key: string): Promise<void> {
    const socket = connect({
      host: '127.0.0.1',
      port: orders.port,
      ca,
      cert: readFileSync(cert),
      key: readFileSync(key),
      servername: 'localhost',
    })
    this.#socket = socket
    socket.setNoDelay(true)
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject)
      socket.once('secureConnect', () =>
        socket.write(
          mqttPacket.generate({
            cmd: 'connect',
            clientId: this.#id,
            clean: true,
            keepalive: 60,
            protocolId: 'MQTT',
            protocolVersion: 4,
          }),
        ),
      )
      socket.once('data', (connack) =>
        connack[0] === 0x20 && connack[3] === 0 ? resolve() : reject(new Error(`CONNACK ${connack.toString('hex')}`)),
      )
    })
    socket.on('data', (chunk) => this.#read(chunk))
    socket.on('close', () => {
      if (performance.now() < stopAtMs) throw new Error(`${this.#id}: the broker closed the connection`)
    })
  }

  /** Keeps the ordered number in flight, or publishes on schedule until the time is over. */
  start(): void {
    if (!this.#isProbe) return this.#publish(orders.inFlight, performance.now())
    let dueMs = performance.now()
    const timer = setInterval(() => {
      for (; dueMs <= performance.now() && dueMs < stopAtMs; dueMs += probeEveryMs) this.#publish(1, dueMs)
      if (dueMs >= stopAtMs) clearInterval(timer)
    }, probeEveryMs)
  }

  end(): void {
    this.#socket?.end(mqttPacket.generate({ cmd: 'disconnect' }))
  }

  #publish(count: number, sentMs: number): void {
    const { length } = this.#template
    const out = Buffer.allocUnsafe(count * length)
    for (let index = 0; index < count; index++) {
      const start = index * length
      const messageId = (this.#sent % 65_535) + 1
      this.#template.copy(out, start)
      out.writeUInt16BE(messageId, start + this.#idAt)
      out.write(String(firstSeq + this.#sent), start + this.#seqAt, 'latin1')
      this.#sentMs[messageId] = sentMs
      this.#sent++
    }
    this.outstanding += count
    this.#socket?.write(out)
  }

  #read(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    const nowMs = performance.now()
    let at = 0
    let count = 0
    while (at + 4 <= bytes.length) {
      if (bytes[at] !== 0x40) throw new Error(`${this.#id}: not a PUBACK: ${bytes.toString('hex', at, at + 4)}`)
      const messageId = bytes.readUInt16BE(at + 2)
      at += 4
      count++
      const sentMs = this.#sentMs[messageId] as number
      if (this.#isMeasured(nowMs, sentMs)) this.#latencies.push(nowMs - sentMs)
    }
    this.outstanding -= count
    const part = Math.floor(((nowMs - measureFromMs) / orders.measureMs) * parts.length)
    if (!this.#isProbe && parts[part] !== undefined) parts[part] += count
    this.#rest = at === bytes.length ? Buffer.alloc(0) : bytes.subarray(at)
    acked += count
    if (!this.#isProbe && nowMs < stopAtMs && count > 0) this.#publish(count, nowMs)
  }

  /** The probe's publishes count by when they were due, the others by when they were done. */
  #isMeasured(nowMs: number, sentMs: number): boolean {
    const atMs = this.#isProbe ? sentMs : nowMs
    return atMs >= measureFromMs && atMs < stopAtMs
  }
}

const devices: Device[] = []
for (const identity of [...orders.devices, orders.probe]) {
  const device = new Device(identity.id, identity === orders.probe)
  devices.push(device)
  await device.connect(identity.cert, identity.key)
}
measureFromMs = performance.now() + orders.warmupMs
stopAtMs = measureFromMs + orders.measureMs
for (const device of devices) device.start()
await new Promise((resolve) => setTimeout(resolve, orders.warmupMs + orders.measureMs))
const deadlineMs = performance.now() + 30_000
while (devices.some((device) => device.outstanding > 0) && performance.now() < deadlineMs) {
  await new Promise((resolve) => setTimeout(resolve, 20))
}
for (const device of devices) device.end()

function quantiles(values: number[]): (share: number) => number {
  const sorted = Float64Array.from(values).sort()
  return (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN
}
const at = quantiles(latencies)
const probeAt = quantiles(probeLatencies)
const figures: LoadFigures = {
  acked,
  measured: latencies.length,
  seconds: orders.measureMs / 1000,
  series: parts.map((count) => Math.round((count * parts.length * 1000) / orders.measureMs)),
  p50Ms: at(0.5),
  p99Ms: at(0.99),
  maxMs: at(1),
  probeP50Ms: probeAt(0.5),
  probeP99Ms: probeAt(0.99),
  probeMaxMs: probeAt(1),
}
process.stdout.write(JSON.stringify(figures))
