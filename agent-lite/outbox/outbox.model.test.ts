// Random adding, sending, acknowledging, damage, full disks and power cuts, against a plain list of what happened.
import fc from 'fast-check'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import type { DeviceRecord } from '../../protocol/records.ts'
import { ForgetfulDisk } from '../../test/support/forgetful-disk.ts'
import { Outbox, type Lease } from './outbox.ts'

const log = pino({ level: 'silent' })
const fileBytes = 2048

interface Step {
  kind:
    | 'add'
    | 'flush'
    | 'send'
    | 'acknowledge'
    | 'release'
    | 'crash'
    | 'crash-soon'
    | 'restart'
    | 'damage'
    | 'full'
    | 'roomy'
  urgent: boolean
  size: number
  at: number
}

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.oneof(
    { weight: 12, arbitrary: fc.constant('add' as const) },
    { weight: 5, arbitrary: fc.constant('flush' as const) },
    { weight: 5, arbitrary: fc.constant('send' as const) },
    { weight: 4, arbitrary: fc.constant('acknowledge' as const) },
    { weight: 4, arbitrary: fc.constantFrom('release', 'crash', 'restart', 'damage', 'full', 'roomy', 'crash-soon') },
  ),
  urgent: fc.boolean(),
  size: fc.integer({ min: 1, max: 900 }),
  at: fc.nat(1_000_000),
})

/** The history of one device: everything that ever left it, and what it may forget. */
class History {
  readonly disk = new ForgetfulDisk()
  /** Content of every record that was handed out for sending, over all crashes. */
  readonly sent = new Map<number, string>()
  readonly acknowledged = new Set<number>()
  readonly gaps: [number, number][] = []
  /** Durable, as far as the outbox said, and not damaged since. */
  readonly promised = new Set<number>()
  /** Given up for want of room, as the outbox itself said. */
  readonly droppedForRoom = new Set<number>()
  readonly lostAtStart = new Set<number>()
  readonly lostThoughAcknowledged: number[] = []
  isDamaged = false
  hasCrashed = false
  wasFull = false
  outbox!: Outbox
  leases: Lease[] = []
  #random: number

  constructor(seed: number) {
    this.#random = seed
  }

  random = (n: number): number => {
    this.#random = (Math.imul(this.#random, 1_103_515_245) + 12_345) >>> 0
    return (this.#random >>> 8) % n
  }

  async open(): Promise<void> {
    this.outbox = await Outbox.open('', {
      maxBytes: 8 * fileBytes,
      fileBytes,
      flushDelayMs: 3_600_000,
      log,
      disk: this.disk,
    })
    for (const [from, to] of this.outbox.atStart.lost) {
      for (let seq = from; seq <= to; seq++) this.lostAtStart.add(seq)
    }
    this.outbox.onLost = (ranges, reason) => {
      for (const [from, to] of ranges) {
        for (let seq = from; seq <= to; seq++) {
          if (this.acknowledged.has(seq)) this.lostThoughAcknowledged.push(seq)
          if (reason === 'outbox-full') this.droppedForRoom.add(seq)
        }
      }
    }
    this.leases = []
  }

  async crash(): Promise<void> {
    this.hasCrashed = true
    this.disk.crash(this.random)
    await this.open()
  }

  add(each: Step): void {
    const text = String(each.at)
      .repeat(Math.ceil(each.size / 6))
      .slice(0, each.size)
    try {
      const { seq, stored } = this.outbox.add({ kind: 'status', message: text }, { urgent: each.urgent })
      void stored.then((isStored) => (isStored ? this.promised.add(seq) : undefined))
    } catch {
      // Full in memory: no seq was used.
    }
  }

  async send(maxBytes: number): Promise<boolean> {
    const lease = await this.outbox.lease(maxBytes)
    if (lease === undefined) return false
    const seqs = lease.records.map(({ seq }) => seq)
    expect(new Set(seqs).size, 'one envelope never holds a seq twice').toBe(seqs.length)
    for (const record of lease.records) {
      const content = JSON.stringify({ ...record, atMs: 0 })
      const before = this.sent.get(record.seq ?? 0)
      if (before !== undefined) expect(content, `seq ${record.seq} stands for one record only`).toBe(before)
      this.sent.set(record.seq ?? 0, content)
    }
    this.leases.push(lease)
    return true
  }

  async acknowledge(): Promise<void> {
    const lease = this.leases.shift()
    if (lease === undefined) return
    for (const record of lease.records) this.#received(record)
    await this.outbox.acknowledge(lease)
  }

  #received(record: DeviceRecord): void {
    this.acknowledged.add(record.seq ?? 0)
    if (record.kind === 'gap') this.gaps.push([Number(record['from']), Number(record['to'])])
  }

  async apply(each: Step): Promise<void> {
    switch (each.kind) {
      case 'add':
        return this.add(each)
      case 'flush':
        return this.outbox.flush()
      case 'send':
        return void (await this.send(each.size * 4))
      case 'acknowledge':
        return this.acknowledge()
      case 'release': {
        const lease = this.leases.shift()
        return lease && this.outbox.release(lease)
      }
      case 'crash':
        return this.crash()
      case 'crash-soon':
        this.disk.crashAfter = each.at % 12
        return
      case 'restart':
        await this.outbox.close()
        // Without room, what was acknowledged is forgotten as in a crash.
        if (this.disk.capacityBytes !== Infinity) this.hasCrashed = true
        return this.open()
      case 'damage': {
        const logs = [...this.disk.contents.keys()].filter(
          (name) => name.endsWith('.log') && !name.startsWith('damaged'),
        )
        const name = logs[each.at % Math.max(1, logs.length)]
        if (name !== undefined) this.disk.damage(name, each.at)
        this.isDamaged = true
        return
      }
      case 'full': {
        const used = [...this.disk.contents.values()].reduce((sum, bytes) => sum + bytes.byteLength, 0)
        this.disk.capacityBytes = used + (each.at % 200)
        this.wasFull = true
        return
      }
      case 'roomy':
        this.disk.capacityBytes = Infinity
        return
    }
  }

  /** Sends and acknowledges all there is, as a link that works again would. */
  async drain(): Promise<void> {
    this.disk.capacityBytes = Infinity
    this.disk.crashAfter = Infinity
    for (let round = 0; round < 10_000; round++) {
      await this.outbox.flush()
      if (!(await this.send(100_000))) return
      await this.acknowledge()
    }
    throw new Error('the outbox does not run empty')
  }

  unaccounted(): number[] {
    const missing: number[] = []
    for (let seq = 1; seq < this.outbox.state.nextSeq; seq++) {
      const isNamed = this.gaps.some(([from, to]) => seq >= from && seq <= to)
      if (!this.acknowledged.has(seq) && !isNamed) missing.push(seq)
    }
    return missing
  }
}

async function live(steps: readonly Step[], seed: number): Promise<void> {
  const history = new History(seed)
  await history.open()
  for (const each of steps) {
    try {
      await history.apply(each)
    } catch (error) {
      if (!/EPOWER|OUTBOX_UNUSABLE/.test(`${(error as Error).message} ${(error as { code?: string }).code}`))
        throw error
      history.disk.capacityBytes = Infinity
      await history.crash()
    }
    const used = [...history.disk.contents].filter(([name]) => !name.startsWith('damaged/'))
    const bytes = used.reduce((sum, [, content]) => sum + content.byteLength, 0)
    expect(bytes, 'files stay within maxBytes').toBeLessThanOrEqual(8 * fileBytes)
  }
  const hadCrashed = history.hasCrashed
  history.disk.capacityBytes = Infinity
  await history.crash()
  await history.drain()
  expect(history.unaccounted(), 'every seq was delivered or is named in a gap').toEqual([])
  if (history.isDamaged) return
  const isNamed = (seq: number) => history.droppedForRoom.has(seq) || (history.wasFull && history.lostAtStart.has(seq))
  const lost = [...history.promised].filter((seq) => !history.sent.has(seq) && !isNamed(seq))
  expect(lost, 'what was stored is there until it is sent, or given up for want of room').toEqual([])
  if (!hadCrashed) expect(history.lostThoughAcknowledged, 'what was acknowledged is not given up').toEqual([])
}

test('whatever happens, every record is delivered or named in a gap, and no seq stands for two records', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 50, size: 'max' }), fc.nat(), async (steps, seed) => {
      await live(steps, seed)
    }),
    {
      numRuns: Number(process.env['TIDEGATE_MODEL_RUNS'] ?? 300),
      interruptAfterTimeLimit: 60_000,
      markInterruptAsFailure: false,
    },
  )
}, 120_000)

// Histories that once broke it: kind, ! for urgent, @ for the step's number; and the seed of the crashes.
test.each([
  [
    'a gap written ahead of records that wait is damaged',
    'add flush add add full flush send damage crash add flush send',
    0,
  ],
  [
    'an acknowledged record is damaged, and the repair removes the last sign of it',
    'add flush send damage@366392 acknowledge restart crash send add@1 flush',
    0,
  ],
  [
    'the newest file gives way on a full disk, and then the other one is damaged',
    'add! add restart full add@10 send acknowledge flush damage add send release',
    101107426,
  ],
  ['damage is found on a full disk', 'add flush damage add flush full restart acknowledge send', 0],
  ['a file is begun and nothing is ever written to it', 'full crash-soon@137105 add! flush flush send flush', 0],
  [
    'a damaged record is read and its file removed before the gap is durable',
    'crash-soon@490892 full@96671 add flush add flush damage crash add damage@785586 send acknowledge add',
    2147483554,
  ],
])('%s', async (_, history, seed) => {
  const steps = history.split(' ').map((word): Step => {
    const [, kind = '', urgent, at] = /^([a-z-]+)(!?)(?:@([0-9]+))?$/.exec(word) ?? []
    return { kind: kind as Step['kind'], urgent: urgent === '!', size: 1, at: Number(at ?? 0) }
  })
  await live(steps, seed)
})
