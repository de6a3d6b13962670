// A device that only publishes: numbered records over real MQTT and TLS, sent again until acknowledged, as the agent does.
// What it remembers is the truth that tests compare with: which seqs exist, and which were acknowledged.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import mqtt, { type MqttClient } from 'mqtt'
import { encodeEnvelope } from '../../protocol/records.ts'
import { DeviceId, Epoch } from '../../protocol/ids.ts'
import { SeqRanges } from '../../protocol/seq-ranges.ts'
import { deviceTopic } from '../../protocol/topics.ts'

export interface PublisherOptions {
  device: string
  /** Folder with cert.pem and key.pem. */
  leaf: string
  /** Root CA file. */
  ca: string
  port: number
  /** The record with this seq, without seq and kind's defaults. */
  record(seq: number): Record<string, unknown>
  recordsPerEnvelope?: number
  maxInFlight?: number
}

export class Publisher {
  readonly device: DeviceId
  readonly epoch = Epoch.parse(`epoch-${Math.random().toString(36).slice(2, 12)}`)
  readonly acked = new SeqRanges()
  /** Seqs 1..wanted are to be delivered. */
  wanted = 0
  reconnects = 0
  readonly #options: Required<PublisherOptions>
  #stopped = false
  #running: Promise<void> = Promise.resolve()
  #client: MqttClient | undefined

  constructor(options: PublisherOptions) {
    this.#options = { recordsPerEnvelope: 5, maxInFlight: 8, ...options }
    this.device = DeviceId.parse(options.device)
  }

  start(): void {
    this.#running = this.#run()
  }

  get isDone(): boolean {
    return this.acked.count >= this.wanted
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#client?.end(true)
    await this.#running
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      await this.#connectAndPublish().catch(() => undefined)
      this.reconnects++
      if (!this.#stopped) await setTimeout(20 + Math.random() * 100)
    }
  }

  async #connectAndPublish(): Promise<void> {
    const { leaf, ca, port, device } = this.#options
    const client = mqtt.connect({
      protocol: 'mqtts',
      host: 'localhost',
      port,
      clientId: device,
      clean: false,
      reconnectPeriod: 0,
      connectTimeout: 5000,
      ca: readFileSync(ca),
      cert: readFileSync(join(leaf, 'cert.pem')),
      key: readFileSync(join(leaf, 'key.pem')),
    })
    this.#client = client
    const closed = new Promise<void>((resolve) => client.once('close', resolve))
    client.on('error', () => client.end(true))
    const connected = await Promise.race([
      new Promise<true>((resolve) => client.once('connect', () => resolve(true))),
      closed,
    ])
    if (connected !== true) return
    let isOpen = true
    void closed.then(() => (isOpen = false))
    const inFlight = new Set<Promise<void>>()
    let next = 1
    while (isOpen && !this.#stopped) {
      const seqs = this.#unacked(next)
      if (seqs.length === 0 || inFlight.size >= this.#options.maxInFlight) {
        await Promise.race([...inFlight, closed, setTimeout(20)])
        continue
      }
      next = (seqs.at(-1) ?? next) + 1
      const publish = this.#publish(client, seqs).finally(() => inFlight.delete(publish))
      inFlight.add(publish)
    }
    client.end(true)
  }

  #unacked(from: number): number[] {
    const seqs: number[] = []
    for (let seq = from; seq <= this.wanted && seqs.length < this.#options.recordsPerEnvelope; seq++) {
      if (!this.acked.has(seq)) seqs.push(seq)
    }
    return seqs
  }

  #publish(client: MqttClient, seqs: readonly number[]): Promise<void> {
    const records = seqs.map((seq) => ({ kind: 'snapshot', seq, atMs: Date.now(), ...this.#options.record(seq) }))
    const payload = encodeEnvelope({ v: 1, device: this.device, epoch: this.epoch, records }, 'br')
    return new Promise((resolve) => {
      client.publish(deviceTopic(this.device, 'up/br'), payload, { qos: 1 }, (error) => {
        // Only a PUBACK counts; a closed connection says nothing about what was sent.
        if (!error) for (const seq of seqs) this.acked.add(seq)
        resolve()
      })
    })
  }
}
