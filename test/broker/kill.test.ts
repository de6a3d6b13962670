// PUBACK means: on this disk. A gateway under load is killed with SIGKILL at random moments, again and again on the same
// journal; afterwards every (device, epoch, seq) that was acknowledged is there, and none is there twice.
// TIDEGATE_KILLS sets the rounds (20), TIDEGATE_SEED repeats a run.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import mqtt, { type MqttClient } from 'mqtt'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openReadOnly } from '../../lib/sqlite/open.ts'
import { compress } from '../../protocol/compression.ts'
import { seededRandom } from '../support/random.ts'
import { envelope, Pki, snapshot, type Identity } from './plant.ts'

const rounds = Number(process.env['TIDEGATE_KILLS'] ?? 20)
const seed = Number(process.env['TIDEGATE_SEED'] ?? Date.now() % 1_000_000_000)
const deviceCount = 20
const inFlight = 10
let folder: string
let pki: Pki

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tidegate-kill-'))
  pki = await Pki.create(join(folder, 'pki'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** A device that keeps what is not acknowledged and sends it again, as an outbox does. */
class Sender {
  readonly acked = new Set<number>()
  readonly #id: string
  readonly #identity: Identity
  readonly #random: () => number
  #unacked: number[] = []
  #nextSeq = 1
  #client: MqttClient | undefined
  #onAck = (): void => {}

  constructor(id: string, identity: Identity, random: () => number) {
    this.#id = id
    this.#identity = identity
    this.#random = random
  }

  async connect(port: number): Promise<void> {
    const client = mqtt.connect({
      protocol: 'mqtts',
      host: '127.0.0.1',
      port,
      ...this.#identity,
      clientId: this.#id,
      clean: true,
      reconnectPeriod: 0,
    })
    client.on('error', () => {})
    this.#client = client
    await new Promise<void>((resolve) => void client.once('connect', () => resolve()))
  }

  /** Resolves with the first PUBACK of this connection. */
  start(): Promise<void> {
    const firstAck = new Promise<void>((resolve) => (this.#onAck = resolve))
    const again = this.#unacked
    this.#unacked = []
    for (const seq of again) this.#send([seq])
    while (this.#unacked.length < inFlight) this.#sendNew()
    return firstAck
  }

  end(): void {
    this.#client?.end(true)
  }

  #sendNew(): void {
    const count = 1 + Math.floor(this.#random() * 3)
    const seqs = Array.from({ length: count }, () => this.#nextSeq++)
    this.#send(seqs)
  }

  #send(seqs: number[]): void {
    this.#unacked.push(...seqs)
    const client = this.#client
    const json = envelope(
      this.#id,
      seqs.map((seq) => snapshot(seq)),
    )
    const isBrotli = this.#random() < 0.2
    const topic = `tg/1/${this.#id}/${isBrotli ? 'up/br' : 'up'}`
    client?.publish(topic, isBrotli ? compress('br', json) : json, { qos: 1 }, (error) => {
      if (error) return
      for (const seq of seqs) this.acked.add(seq)
      this.#onAck()
      this.#unacked = this.#unacked.filter((seq) => !this.acked.has(seq))
      // What was sent again one by one must not add to what is in flight, or it would double with every round.
      while (client.connected && this.#unacked.length < inFlight) this.#sendNew()
    })
  }
}

async function startGateway(): Promise<{ child: ChildProcess; port: number }> {
  const program = fileURLToPath(new URL('gateway-process.ts', import.meta.url))
  const child = spawn(process.execPath, ['--import', 'tsx', program, folder, pki.folder, '0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  return { child, port: Number(line.toString()) }
}

test(
  `after ${rounds} kills at random moments no acknowledged record is missing and none is stored twice`,
  { timeout: 60_000 + rounds * 15_000 },
  async () => {
    const random = seededRandom(seed)
    const senders: Sender[] = []
    for (let number = 1; number <= deviceCount; number++) {
      const id = `press-${number}`
      senders.push(new Sender(id, await pki.device(id), random))
    }
    for (let round = 0; round < rounds; round++) {
      const { child, port } = await startGateway()
      for (const sender of senders) await sender.connect(port)
      await Promise.race(senders.map((sender) => sender.start()))
      await new Promise((resolve) => setTimeout(resolve, random() * 400))
      child.kill('SIGKILL')
      await once(child, 'exit')
      for (const sender of senders) sender.end()
    }

    // One more start and end: the database must be usable, and recovery must not lose anything.
    const { child } = await startGateway()
    child.kill('SIGKILL')
    await once(child, 'exit')
    const database = openReadOnly(join(folder, 'journal.db'))
    const rows = database
      .prepare<[], { device: string; seq: number }>(
        'SELECT d.name AS device, r.seq FROM record r JOIN device d ON d.id = r.device_id',
      )
      .all()
    const check = database.pragma('integrity_check', { simple: true })
    database.close()
    const stored = new Map(senders.map((_, index) => [`press-${index + 1}`, [] as number[]]))
    for (const { device, seq } of rows) stored.get(device)?.push(seq)
    let ackedCount = 0
    for (const [index, { acked }] of senders.entries()) {
      const seqs = stored.get(`press-${index + 1}`) ?? []
      const unique = new Set(seqs)
      ackedCount += acked.size
      expect(seqs.length, `records of press-${index + 1} stored twice, seed ${seed}`).toBe(unique.size)
      expect(
        [...acked].filter((seq) => !unique.has(seq)),
        `acknowledged and lost, seed ${seed}`,
      ).toEqual([])
    }
    expect(check).toBe('ok')
    expect(ackedCount).toBeGreaterThanOrEqual(rounds)
    console.error(`seed ${seed}: ${rounds} kills, ${ackedCount} records acknowledged, ${rows.length} stored, 0 lost`)
  },
)
