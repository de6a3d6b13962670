// The dispatcher over the real life cycle in an in-memory database; only the broker is a stand-in.
import { readFileSync } from 'node:fs'
import Database from 'better-sqlite3'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Command } from '../../protocol/commands.ts'
import type { DeviceId } from '../../protocol/ids.ts'
import { changePresence, listPresence } from '../store/presence.ts'
import { Dispatcher, type DispatchStore } from './dispatcher.ts'
import { LifeCycle } from './life-cycle.ts'
import { readQuery } from './read.ts'

const device = 'press-1' as DeviceId
const untilMs = 1_000_000
type Outcome = 'acked' | 'offline' | 'gone'

let database: Database.Database
let life: LifeCycle
let store: DispatchStore
let nowMs: number
let dispatcher: Dispatcher
/** What was handed to the broker and has no outcome yet. */
let sending: { device: DeviceId; text: string; end: (outcome: Outcome) => void }[]
let isFull: boolean

beforeEach(() => {
  vi.useFakeTimers()
  nowMs = 1
  sending = []
  isFull = false
  database = new Database(':memory:')
  database.exec(readFileSync(new URL('../store/migrations/0001_site.sql', import.meta.url), 'utf8'))
  life = new LifeCycle(database, {
    consentRules: [],
    knownDevices: () => listPresence(database).map((row) => row.device),
  })
  const effects = (ready: DeviceId[] = []) => ({ ready, nextDueMs: life.nextDueMs() })
  const write = async <T>(run: () => T): Promise<T> => {
    if (isFull) throw new Error('disk full')
    return run()
  }
  store = {
    presence: (changes) =>
      write(() => {
        for (const change of changes) if (changePresence(database, change)) life.deviceIsNew(change.device, change.atMs)
        return effects()
      }),
    take: (devices) => write(() => life.take(devices, nowMs)),
    acknowledged: (list) =>
      write(() => {
        for (const { commandId, device } of list) life.acknowledged(commandId, device, nowMs)
        return effects()
      }),
    tick: () => write(() => effects(life.tick(nowMs))),
  }
  dispatcher = new Dispatcher({
    store,
    log: pino({ level: 'silent' }),
    now: () => nowMs,
    send: (to, payload) =>
      new Promise((end) => {
        sending.push({ device: to, text: payload.toString(), end })
      }),
  })
})

afterEach(() => {
  dispatcher.stop()
  vi.useRealTimers()
})

const settle = () => vi.advanceTimersByTimeAsync(0)
const stateOf = (id: string) => readQuery(database, id)?.deliveries.find((row) => row.device === device)?.state

function ask(id: string): void {
  const command = Command.parse({
    v: 1,
    id,
    kind: 'query',
    authority: 'centre',
    issuedAtMs: 0,
    notBeforeMs: 0,
    notAfterMs: untilMs,
    target: { site: 'plant-a', devices: [device] },
    body: { sql: 'SELECT 1' },
  })
  dispatcher.apply({ ready: life.accept(command, `jws of ${id}`, nowMs), nextDueMs: life.nextDueMs() })
}

async function connect(): Promise<void> {
  dispatcher.presenceChanged({ device, state: 'here', atMs: nowMs })
  dispatcher.deviceReady(device)
  await settle()
}

async function end(outcome: Outcome): Promise<void> {
  sending.shift()?.end(outcome)
  await settle()
}

test('nothing is sent to a device that is not here; all of it, in order, once it is', async () => {
  ask('q-1')
  ask('q-2')
  await settle()
  expect(sending).toEqual([])
  await connect()
  expect(sending.map(({ text }) => text)).toEqual(['jws of q-1'])
  await end('acked')
  expect(sending.map(({ text }) => text)).toEqual(['jws of q-2'])
  await end('acked')
  expect([stateOf('q-1'), stateOf('q-2')]).toEqual(['running', 'running'])
})

test('what was not acknowledged is sent again when the device is ready again', async () => {
  ask('q-1')
  await connect()
  await end('gone')
  expect(sending).toEqual([])
  await connect()
  await end('acked')
  expect(stateOf('q-1')).toBe('running')
})

test('a device that came back before its old session was found dead is sent to again', async () => {
  ask('q-1')
  await connect()
  await connect()
  expect(sending).toHaveLength(1)
  await end('gone')
  expect(sending).toHaveLength(1)
  await end('acked')
  expect(stateOf('q-1')).toBe('running')
})

test('a command that comes while others are being sent goes out after them', async () => {
  ask('q-1')
  await connect()
  ask('q-2')
  await settle()
  expect(sending).toHaveLength(1)
  await end('acked')
  expect(sending.map(({ text }) => text)).toEqual(['jws of q-2'])
})

test('a full disk delays work and loses none of it', async () => {
  ask('q-1')
  await connect()
  isFull = true
  await end('acked')
  expect(stateOf('q-1')).toBe('dispatched')
  isFull = false
  await vi.advanceTimersByTimeAsync(5000)
  expect(stateOf('q-1')).toBe('running')
})

test('a query expires by the wall clock, also when that jumps', async () => {
  ask('q-1')
  nowMs = untilMs - 1
  await vi.advanceTimersByTimeAsync(60_000)
  expect(stateOf('q-1')).toBe('at-site')
  nowMs = untilMs + 500
  await vi.advanceTimersByTimeAsync(60_000)
  expect(stateOf('q-1')).toBe('unreachable')
})
