import { pino } from 'pino'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { DeviceId, Epoch } from '../../protocol/ids.ts'
import type { DeviceRecord } from '../../protocol/records.ts'
import type { Lease } from '../outbox/outbox.ts'
import { Pace } from './pace.ts'
import type { LinkProblem } from './problems.ts'
import { Sender } from './sender.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

/** An outbox in memory: records wait, are leased, or are gone. */
class MemoryOutbox {
  readonly epoch = Epoch.parse('epoch-of-tests')
  waiting: DeviceRecord[]
  readonly acknowledged: (number | undefined)[] = []
  readonly abandoned: (number | undefined)[] = []

  constructor(records: DeviceRecord[]) {
    this.waiting = records
  }

  lease(_maxBytes: number, maxRecords = 1000): Promise<Lease | undefined> {
    const records = this.waiting.splice(0, maxRecords)
    return Promise.resolve(records.length === 0 ? undefined : { records, isUrgent: false, places: [] })
  }

  acknowledge(lease: Lease): Promise<void> {
    this.acknowledged.push(...lease.records.map(({ seq }) => seq))
    return Promise.resolve()
  }

  release(lease: Lease): void {
    this.waiting.unshift(...lease.records)
  }

  abandon(lease: Lease): void {
    this.abandoned.push(...lease.records.map(({ seq }) => seq))
  }
}

function setUp(records: DeviceRecord[], publish: () => Promise<void>) {
  const outbox = new MemoryOutbox(records)
  const pace = new Pace({ maxInFlight: 4, batchBytes: 262_144 })
  const problems: LinkProblem[] = []
  const topics: string[] = []
  const sender = new Sender({
    device: DeviceId.parse('press-1'),
    outbox,
    connection: {
      publish(topic) {
        topics.push(topic)
        return publish()
      },
      fail: (problem) => void problems.push(problem),
    },
    pace,
    ackTimeoutMs: 60_000,
    envelopeHead: () => ({ sentMs: 1, bootId: 'b', uptimeMs: 1, clock: 'synced' }),
    onAcknowledged: () => {},
    log: pino({ level: 'silent' }),
  })
  return { outbox, pace, problems, topics, sender }
}

const event = (seq: number, text = 'x'): DeviceRecord => ({
  seq,
  kind: 'event',
  name: 'n',
  columns: ['c'],
  rows: [[text]],
})
/** More JSON than an envelope may hold, in one record. */
const giant = (seq: number): DeviceRecord => ({ ...event(seq), rows: [Array(9).fill('y'.repeat(1_000_000))] })

test('a record that fits into no envelope is given up alone, and never blocks the others', async () => {
  const { outbox, sender } = setUp([event(1), giant(2), event(3), event(4)], () => Promise.resolve())
  sender.wake()
  await vi.advanceTimersByTimeAsync(0)
  expect(outbox.abandoned).toEqual([2])
  expect(outbox.acknowledged.sort()).toEqual([1, 3, 4])
})

test('Brotli is used when it makes an envelope smaller', async () => {
  const { topics, outbox, sender } = setUp([event(1)], () => Promise.resolve())
  sender.wake()
  await vi.advanceTimersByTimeAsync(0)
  outbox.waiting.push(event(2, 'z'.repeat(2000)))
  sender.wake()
  await vi.advanceTimersByTimeAsync(0)
  expect(topics).toEqual(['tg/1/press-1/up', 'tg/1/press-1/up/br'])
})

test('a PUBACK that does not come in time fails the connection, after which the records wait again', async () => {
  let reject: (error: Error) => void = () => {}
  const { outbox, pace, problems, sender } = setUp([event(1)], () => new Promise((_, no) => (reject = no)))
  sender.wake()
  await vi.advanceTimersByTimeAsync(59_999)
  expect(problems).toEqual([])
  await vi.advanceTimersByTimeAsync(1)
  expect(problems.map(({ kind }) => kind)).toEqual(['ack-timeout'])
  sender.stop()
  reject(new Error('closed'))
  await vi.advanceTimersByTimeAsync(0)
  expect(outbox.waiting.map(({ seq }) => seq)).toEqual([1])
  expect(pace.patience).toBe(2)
})

test('once stopped, nothing more is published', async () => {
  const { outbox, topics, sender } = setUp([event(1)], () => Promise.resolve())
  sender.stop()
  sender.wake()
  await vi.advanceTimersByTimeAsync(0)
  expect(topics).toEqual([])
  expect(outbox.waiting).toHaveLength(1)
})
