import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Backoff } from '../../lib/backoff.ts'
import { AppError } from '../../lib/errors.ts'
import type { Epoch } from '../../protocol/ids.ts'
import { CentreUnreachable, type SegmentReply } from './centre-client.ts'
import { LinkStatus } from './link-status.ts'
import { Sender, type OutgoingSegment } from './sender.ts'

const chain = 'chain-1234' as Epoch

let waiting: OutgoingSegment[]
let kept: OutgoingSegment[]
let replies: (SegmentReply | Error)[]
let newestReceipt: string | undefined
let posted: number[]
let link: LinkStatus
let sender: Sender

const segment = (n: number): OutgoingSegment => ({ n, lane: 'history', file: Buffer.alloc(10) })
const receipt = (n: number): SegmentReply => ({ kind: 'receipt', jws: `receipt ${n}` })
const outOfOrder = (expected: number, of: string = chain): SegmentReply => ({
  kind: 'out-of-order',
  expected,
  chain: of,
})

beforeEach(() => {
  vi.useFakeTimers()
  waiting = []
  kept = []
  replies = []
  posted = []
  newestReceipt = undefined
  link = new LinkStatus({ onLink: () => undefined, onAlarm: () => undefined })
  sender = new Sender({
    store: {
      nextSegment: async () => waiting[0],
      oldSegment: async (n) => [...kept, ...waiting].find((old) => old.n === n),
      receipt: async (jws) => {
        const n = Number(jws.replace('receipt ', ''))
        if (Number.isNaN(n)) throw new AppError('RECEIPT_WRONG', 'a receipt for something else')
        waiting = waiting.filter((sent) => sent.n > n)
        return n
      },
    },
    centre: {
      postSegment: async (n) => {
        posted.push(n)
        const reply = replies.shift() ?? receipt(n)
        if (reply instanceof Error) throw reply
        return reply
      },
      newestReceipt: async () => newestReceipt,
    },
    chain,
    link,
    log: pino({ level: 'silent' }),
    onReceipt: () => undefined,
    lingerMs: 500,
    backoff: new Backoff({ baseMs: 1000, maxMs: 120_000, random: () => 0.5 }),
  })
})

afterEach(async () => {
  await sender.stop()
  vi.useRealTimers()
})

const run = (ms = 0) => vi.advanceTimersByTimeAsync(ms)

test('sends what waits one after the other, then sleeps until it is woken', async () => {
  waiting = [segment(1), segment(2)]
  sender.start()
  await run()
  expect(posted).toEqual([1, 2])
  waiting = [segment(3)]
  await run(3_600_000)
  expect(posted).toEqual([1, 2])
  sender.wake({ isUrgent: true })
  await run()
  expect(posted).toEqual([1, 2, 3])
})

test('lets history wait for company, but not answers', async () => {
  sender.start()
  await run()
  waiting = [segment(1)]
  sender.wake({ isUrgent: false })
  await run(499)
  expect(posted).toEqual([])
  await run(1)
  expect(posted).toEqual([1])
})

test('waits longer after each failure, and at once goes on when the link is seen to be back', async () => {
  waiting = [segment(1)]
  replies = Array.from({ length: 4 }, () => new CentreUnreachable('no way'))
  sender.start()
  await run()
  expect(posted).toHaveLength(1)
  await run(500)
  expect(posted).toHaveLength(2)
  await run(999)
  expect(posted).toHaveLength(2)
  await run(1)
  expect(posted).toHaveLength(3)
  expect(link.snapshot).toMatchObject({ isUp: false, lastError: 'no way' })
  link.up()
  await run()
  expect(posted).toHaveLength(4)
})

test('waits as long as the centre asks', async () => {
  waiting = [segment(1)]
  replies = [{ kind: 'refused', status: 503, code: 'BUSY', message: '', retryAfterMs: 30_000 }]
  sender.start()
  await run(29_999)
  expect(posted).toHaveLength(1)
  await run(1)
  expect(posted).toHaveLength(2)
})

describe('a chain that does not fit', () => {
  test('a centre that was set back gets the older segments again, in order', async () => {
    kept = [segment(1), segment(2), segment(3)]
    waiting = [segment(4)]
    replies = [outOfOrder(2)]
    sender.start()
    await run()
    expect(posted).toEqual([4, 2, 3, 4])
    expect(waiting).toEqual([])
    expect(link.snapshot.alarms).toEqual([])
  })

  test('older segments that are gone raise CENTRE_BEHIND until the centre has them again', async () => {
    waiting = [segment(4)]
    replies = [outOfOrder(2), outOfOrder(2)]
    sender.start()
    await run()
    expect(link.snapshot.alarms[0]?.code).toBe('CENTRE_BEHIND')
    await run(600_000)
    expect(posted).toEqual([4, 4, 4])
    expect(link.snapshot.alarms).toEqual([])
  })

  test('a centre that is ahead with the same segment shows its receipt; with another one it raises CENTRE_AHEAD', async () => {
    waiting = [segment(4)]
    replies = [outOfOrder(6), outOfOrder(5)]
    newestReceipt = 'receipt of another file'
    sender.start()
    await run()
    expect(link.snapshot.alarms[0]?.code).toBe('CENTRE_AHEAD')
    newestReceipt = 'receipt 4'
    await run(600_000)
    expect(posted).toEqual([4, 4])
    expect(waiting).toEqual([])
  })

  test('a segment that does not follow, or another chain, raises CHAIN_BROKEN and nothing is skipped', async () => {
    waiting = [segment(4), segment(5)]
    replies = [outOfOrder(4), outOfOrder(1, 'chain-other')]
    sender.start()
    await run()
    expect(link.snapshot.alarms[0]?.code).toBe('CHAIN_BROKEN')
    await run(600_000)
    expect(posted).toEqual([4, 4, 4, 5])
  })
})

test('a receipt that does not fit is an alarm, and the segment is sent again', async () => {
  waiting = [segment(1)]
  replies = [{ kind: 'receipt', jws: 'nonsense' }]
  sender.start()
  await run()
  expect(link.snapshot.alarms[0]?.code).toBe('RECEIPT_WRONG')
  await run(600_000)
  expect(posted).toEqual([1, 1])
  expect(link.snapshot.alarms).toEqual([])
})
