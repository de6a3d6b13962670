import { pino } from 'pino'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Backoff } from '../../lib/backoff.ts'
import { CentreUnreachable, type CommandBatch } from './centre-client.ts'
import { LinkStatus } from './link-status.ts'
import { Receiver } from './receiver.ts'

let polls: [after: number, waitMs: number][]
let replies: (CommandBatch | Error)[]
let accepted: { ns: number[]; cursor: number }[]
let isFull: boolean
let link: LinkStatus
let receiver: Receiver
let endPoll: (() => void) | undefined

beforeEach(() => {
  vi.useFakeTimers()
  polls = []
  replies = []
  accepted = []
  isFull = false
  link = new LinkStatus({ onLink: () => undefined, onAlarm: () => undefined })
  receiver = new Receiver({
    centre: {
      commands: async (after, waitMs) => {
        polls.push([after, waitMs])
        const reply = replies.shift()
        if (reply instanceof Error) throw reply
        if (reply !== undefined) return reply
        // Without a prepared reply the centre holds the poll.
        await new Promise<void>((resolve) => (endPoll = resolve))
        return { commands: [], upTo: after }
      },
    },
    cursor: 5,
    accept: async (commands, cursor) => {
      if (isFull) throw new Error('disk full')
      accepted.push({ ns: commands.map(({ n }) => n), cursor })
    },
    link,
    log: pino({ level: 'silent' }),
    waitMs: 25_000,
    backoff: new Backoff({ baseMs: 1000, maxMs: 120_000, random: () => 0.5 }),
  })
})

afterEach(async () => {
  const stopped = receiver.stop()
  endPoll?.()
  await stopped
  vi.useRealTimers()
})

const run = (ms = 0) => vi.advanceTimersByTimeAsync(ms)
const batch = (upTo: number, ...ns: number[]): CommandBatch => ({ commands: ns.map((n) => ({ n, jws: `${n}` })), upTo })

test('stores new commands in order with how far the centre has looked, and asks on from there', async () => {
  replies = [batch(9, 8, 6, 4)]
  receiver.start()
  await run()
  expect(accepted).toEqual([{ ns: [6, 8], cursor: 9 }])
  expect(polls).toEqual([
    [5, 0],
    [9, 25_000],
  ])
})

test('a poll that may be held comes only after one that showed that the link works', async () => {
  replies = [batch(5), new CentreUnreachable('cut'), batch(5)]
  receiver.start()
  await run(1000)
  expect(polls.map(([, waitMs]) => waitMs)).toEqual([0, 25_000, 0, 25_000])
  expect(link.snapshot.isUp).toBe(true)
})

test('what could not be stored is fetched again', async () => {
  replies = [batch(6, 6), batch(6, 6)]
  isFull = true
  receiver.start()
  await run()
  isFull = false
  await run(1000)
  expect(accepted).toEqual([{ ns: [6], cursor: 6 }])
})

test('follows a centre whose numbers were set back', async () => {
  replies = [batch(2), batch(3, 3)]
  receiver.start()
  await run()
  expect(accepted).toEqual([
    { ns: [], cursor: 2 },
    { ns: [3], cursor: 3 },
  ])
})

test('a centre that answers with a refusal is reached, and the refusal is an alarm until it is over', async () => {
  replies = [new CentreUnreachable('the centre answered 403', { status: 403 }), batch(5)]
  receiver.start()
  await run()
  expect(link.snapshot).toMatchObject({ isUp: true, alarms: [{ code: 'COMMANDS_REFUSED' }] })
  await run(1000)
  expect(link.snapshot.alarms).toEqual([])
})

test('a centre that does not hold polls is not hammered', async () => {
  replies = Array.from({ length: 100 }, () => batch(5))
  receiver.start()
  await run(5000)
  expect(polls.length).toBeLessThan(8)
})
