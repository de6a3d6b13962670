import fc from 'fast-check'
import { beforeEach, describe, expect, test } from 'vitest'
import Database from 'better-sqlite3'
import { readFileSync } from 'node:fs'
import { Command } from '../../protocol/commands.ts'
import type { DeviceId } from '../../protocol/ids.ts'
import { advances, isFinal, queryStates, type QueryState } from '../../protocol/query-states.ts'
import type { AnswerRecord } from '../../protocol/records.ts'
import { listAudit, verifyAudit } from '../audit/audit-log.ts'
import { readOutbox } from '../store/outbox.ts'
import type { ConsentRule } from './consent.ts'
import { LifeCycle } from './life-cycle.ts'
import { readAnswer, readQuery } from './read.ts'

const schema = readFileSync(new URL('../store/migrations/0001_site.sql', import.meta.url), 'utf8')
const [a, b, c] = ['press-1', 'press-2', 'press-3'] as [DeviceId, DeviceId, DeviceId]
const untilMs = 10_000

let database: Database.Database
let known: Set<string>

beforeEach(() => {
  database = new Database(':memory:')
  database.exec(schema)
  known = new Set([a, b])
})

function life(consentRules: ConsentRule[] = []): LifeCycle {
  return new LifeCycle(database, { consentRules, knownDevices: () => [...known] })
}

function query(overrides: Record<string, unknown> = {}): Command {
  return Command.parse({
    v: 1,
    id: 'q-1',
    kind: 'query',
    authority: 'centre',
    issuedAtMs: 0,
    notBeforeMs: 0,
    notAfterMs: untilMs,
    target: { site: 'plant-a', devices: [a, b] },
    by: 'ada',
    why: 'audit',
    body: { sql: 'SELECT 1' },
    ...overrides,
  })
}

const cancel = (id = 'c-1', queryId = 'q-1', authority = 'centre') =>
  query({ id, kind: 'cancel', authority, body: { queryId } })

function answer(device: string, part: number, parts: number, status: AnswerRecord['status'] = 'ok') {
  const record: AnswerRecord = {
    kind: 'answer',
    queryId: 'q-1' as never,
    status,
    columns: ['n'],
    rows: [[part]],
    part,
    parts,
  }
  return { device, record, receivedAtMs: 5, journalId: 1 }
}

const states = (id = 'q-1') =>
  Object.fromEntries(readQuery(database, id)?.deliveries.map((row) => [row.device, row.state]) ?? [])
const reasonOf = (device: string) => readQuery(database, 'q-1')?.deliveries.find((row) => row.device === device)?.reason
const events = () =>
  readOutbox(database, Infinity, 1_000_000)
    .map(({ line }) => JSON.parse(line) as { t: string; device?: string; state: QueryState })
    .filter(({ t }) => t === 'query')
const actions = () =>
  listAudit(database, { limit: 100 })
    .map(({ action }) => action)
    .reverse()

describe('a query for named devices', () => {
  test('goes to each device when it is ready, runs on its acknowledgement and is answered by its last part', () => {
    const cycle = life()
    expect(cycle.accept(query(), 'jws', 1)).toEqual([a, b])
    expect(cycle.take([a], 2)).toEqual([{ commandId: 'q-1', device: a, jws: 'jws' }])
    expect(states()).toEqual({ [a]: 'dispatched', [b]: 'at-site' })
    cycle.acknowledged('q-1', a, 3)
    expect(cycle.take([a], 4)).toEqual([])
    cycle.answered([answer(a, 1, 2)], 5)
    expect(states()[a]).toBe('running')
    cycle.answered([answer(a, 0, 2), answer(a, 0, 2)], 6)
    expect(states()[a]).toBe('answered')
    expect(readQuery(database, 'q-1')?.deliveries[0]?.rows).toBe(2)
    expect(actions()).toEqual(['command-received', 'consent-rule', 'dispatched', 'answered'])
  })

  test('is sent again until it is acknowledged', () => {
    const cycle = life()
    cycle.accept(query(), 'jws', 1)
    cycle.take([a], 2)
    expect(cycle.take([a], 3)).toHaveLength(1)
    expect(events().filter(({ state }) => state === 'dispatched')).toHaveLength(1)
  })

  test('changes nothing when it arrives a second time', () => {
    const cycle = life()
    cycle.accept(query(), 'jws', 1)
    cycle.take([a], 2)
    expect(cycle.accept(query(), 'jws', 3)).toEqual([])
    expect(states()[a]).toBe('dispatched')
  })

  test('tells the centre each step once, in order, with the site first', () => {
    const cycle = life()
    cycle.accept(query({ target: { site: 'plant-a', devices: [a] } }), 'jws', 1)
    cycle.take([a], 2)
    cycle.acknowledged('q-1', a, 3)
    cycle.answered([answer(a, 0, 1, 'failed')], 4)
    expect(events().map(({ device, state }) => [device, state])).toEqual([
      [undefined, 'at-site'],
      [a, 'at-site'],
      [a, 'dispatched'],
      [a, 'running'],
      [a, 'failed'],
    ])
  })

  test('waits for its beginning', () => {
    const cycle = life()
    expect(cycle.accept(query({ notBeforeMs: 100 }), 'jws', 1)).toEqual([])
    expect(cycle.take([a], 99)).toEqual([])
    expect(cycle.nextDueMs()).toBe(100)
    expect(cycle.tick(100)).toEqual([a, b])
    expect(cycle.take([a], 100)).toHaveLength(1)
  })

  test('ends with a reason that says how far it came', () => {
    known.add(c)
    const cycle = life()
    cycle.accept(query({ target: { site: 'plant-a', devices: [a, b, c, 'nobody'] } }), 'jws', 1)
    cycle.take([a, b], 2)
    cycle.acknowledged('q-1', a, 3)
    cycle.tick(untilMs)
    expect(isFinal(states()[c] ?? 'queued')).toBe(false)
    cycle.tick(untilMs + 1)
    expect(states()).toEqual({ [a]: 'expired', [b]: 'expired', [c]: 'expired', nobody: 'unreachable' })
    expect(reasonOf(a)).toBe('acknowledged but did not answer while it was valid')
    expect(reasonOf(b)).toBe('was sent but never acknowledged while it was valid')
    expect(reasonOf(c)).toBe('never connected while it was valid')
    expect(cycle.nextDueMs()).toBeUndefined()
  })

  test('an answer that was late replaces expired', () => {
    const cycle = life()
    cycle.accept(query(), 'jws', 1)
    cycle.tick(untilMs + 1)
    cycle.answered([answer(a, 0, 1)], untilMs + 2)
    expect(states()[a]).toBe('answered')
  })

  test('reaching the site too late, says so', () => {
    const cycle = life()
    cycle.accept(query(), 'jws', untilMs + 5)
    expect(cycle.take([a], untilMs + 5)).toEqual([])
    cycle.tick(untilMs + 5)
    expect(reasonOf(a)).toBe('reached the site after its validity had ended')
  })
})

describe('a query for all devices', () => {
  const all = () => query({ target: { site: 'plant-a', devices: '*' } })

  test('is for the devices that are known and for those that show up while it is valid', () => {
    const cycle = life()
    cycle.accept(all(), 'jws', 1)
    known.add(c)
    cycle.deviceIsNew(c, 5)
    expect(states()).toEqual({ [a]: 'at-site', [b]: 'at-site', [c]: 'at-site' })
    expect(cycle.take([c], 6)).toHaveLength(1)
    cycle.tick(untilMs + 1)
    cycle.deviceIsNew('press-9' as DeviceId, untilMs + 2)
    expect(Object.keys(states())).toEqual([a, b, c])
  })

  test('ends for the site when it never had a device', () => {
    known.clear()
    const cycle = life()
    cycle.accept(all(), 'jws', 1)
    cycle.tick(untilMs + 1)
    expect(events().at(-1)).toMatchObject({ state: 'expired', reason: 'this site had no device while it was valid' })
  })
})

describe('consent', () => {
  test('a query that asks waits until a person allows it', () => {
    const cycle = life([{ action: 'ask' }])
    expect(cycle.accept(query(), 'jws', 1)).toEqual([])
    expect(states()).toEqual({ [a]: 'awaiting-consent', [b]: 'awaiting-consent' })
    expect(cycle.take([a], 2)).toEqual([])
    expect(cycle.decide('q-1', 'allow', 'eva', undefined, 3)).toEqual([a, b])
    expect(cycle.take([a], 4)).toHaveLength(1)
    expect(actions()).toContain('consent-allow')
  })

  test('a veto by rule or by hand ends it for the devices that do not have it yet', () => {
    const cycle = life([{ costClass: 'heavy', action: 'veto', reason: 'no heavy queries here' }])
    cycle.accept(query({ id: 'q-2', body: { sql: 'SELECT 1', costClass: 'heavy' } }), 'jws', 1)
    expect(states('q-2')).toEqual({ [a]: 'vetoed', [b]: 'vetoed' })
    cycle.accept(query(), 'jws', 1)
    cycle.take([a], 2)
    cycle.decide('q-1', 'veto', 'eva', 'maintenance', 3)
    expect(states()).toEqual({ [a]: 'dispatched', [b]: 'vetoed' })
    expect(reasonOf(b)).toBe('maintenance')
    expect(cycle.isWithDevices('q-1')).toBe(true)
    expect(cycle.take([a], 4)).toEqual([])
  })

  test('nobody deciding is told from nobody connecting', () => {
    const cycle = life([{ action: 'ask' }])
    cycle.accept(query(), 'jws', 1)
    cycle.tick(untilMs + 1)
    expect(reasonOf(a)).toBe('nobody at the plant decided while it was valid')
  })

  test('a deferred query goes out when its window opens and is held back again when it closes', () => {
    const day = (hour: number) => new Date(2026, 10, 24, hour).getTime()
    const cycle = life([
      { window: '22:00-23:00', action: 'allow' },
      { action: 'defer', reason: 'only at night' },
    ])
    cycle.accept(query({ notAfterMs: day(48) }), 'jws', day(12))
    expect(cycle.take([a], day(13))).toEqual([])
    expect(cycle.nextDueMs()).toBe(day(22))
    expect(cycle.tick(day(22))).toEqual([a, b])
    expect(cycle.take([a], day(22))).toHaveLength(1)
    cycle.tick(day(23))
    expect(cycle.take([b], day(23))).toEqual([])
    expect(cycle.tick(day(46))).toEqual([a, b])
  })

  test('a closed query cannot be decided, nor one that is unknown', () => {
    const cycle = life()
    cycle.accept(query(), 'jws', 1)
    cycle.tick(untilMs + 1)
    expect(() => cycle.decide('q-1', 'allow', 'eva', undefined, untilMs + 2)).toThrow(/nothing left to decide/)
    expect(() => cycle.decide('q-9', 'allow', 'eva', undefined, 2)).toThrow(/knows no query/)
  })
})

describe('a cancel', () => {
  test('ends devices that wait at once and is passed on to those that have the query', () => {
    const cycle = life()
    cycle.accept(query(), 'jws', 1)
    cycle.take([a], 2)
    cycle.acknowledged('q-1', a, 3)
    expect(cycle.accept(cancel(), 'cancel-jws', 4)).toEqual([a])
    expect(states()).toEqual({ [a]: 'running', [b]: 'failed' })
    expect(cycle.take([a, b], 5)).toEqual([{ commandId: 'c-1', device: a, jws: 'cancel-jws' }])
    cycle.acknowledged('c-1', a, 6)
    expect(states()[a]).toBe('running')
    cycle.answered([answer(a, 0, 1, 'cancelled')], 7)
    expect([states()[a], reasonOf(a)]).toEqual(['failed', 'cancelled'])
  })

  test('ends a device that never acknowledged the query, and the query is not sent again', () => {
    const cycle = life()
    cycle.accept(query(), 'jws', 1)
    cycle.take([a], 2)
    cycle.accept(cancel(), 'cancel-jws', 4)
    expect(cycle.take([a], 5).map(({ commandId }) => commandId)).toEqual(['c-1'])
    cycle.acknowledged('c-1', a, 6)
    expect([states()[a], reasonOf(a)]).toEqual(['failed', 'cancelled'])
  })

  test('of the centre does not stop a query of the plant; of the plant stops both', () => {
    const cycle = life()
    cycle.accept(query({ authority: 'plant' }), 'jws', 1)
    cycle.accept(cancel('c-1', 'q-1', 'centre'), 'jws', 2)
    expect(states()).toEqual({ [a]: 'at-site', [b]: 'at-site' })
    cycle.accept(cancel('c-2', 'q-1', 'plant'), 'jws', 3)
    expect(states()).toEqual({ [a]: 'failed', [b]: 'failed' })
    expect(actions()).toContain('cancel-refused')
  })
})

test("the plant's own questions are answered here and not told to the centre", () => {
  const cycle = life()
  cycle.accept(query({ authority: 'plant', target: { site: 'plant-a', devices: [a] } }), 'jws', 1)
  cycle.take([a], 2)
  cycle.answered([answer(a, 0, 1)], 3)
  expect(events()).toEqual([])
  expect(JSON.parse(readAnswer(database, 'q-1', a))).toMatchObject([{ rows: [[0]] }])
  expect(readAnswer(database, 'q-1', b)).toBe('[]')
})

test('an answer of a device that was not asked, or to nothing, changes nothing', () => {
  const cycle = life()
  cycle.accept(query({ target: { site: 'plant-a', devices: [a] } }), 'jws', 1)
  cycle.answered([answer(b, 0, 1)], 2)
  cycle.answered([{ ...answer(a, 0, 1), record: { ...answer(a, 0, 1).record, queryId: 'q-nobody' as never } }], 2)
  expect(states()).toEqual({ [a]: 'at-site' })
})

test('whatever happens in whatever order, states only advance and every device has ended when the validity is over', () => {
  const device = fc.constantFrom(a, b, c)
  const step = fc.oneof(
    fc.record({ do: fc.constant('accept' as const), all: fc.boolean(), plant: fc.boolean() }),
    fc.record({ do: fc.constant('cancel' as const), plant: fc.boolean() }),
    fc.record({ do: fc.constant('take' as const), device }),
    fc.record({ do: fc.constant('ack' as const), device, id: fc.constantFrom('q-1', 'c-1') }),
    fc.record({
      do: fc.constant('answer' as const),
      device,
      part: fc.nat(1),
      status: fc.constantFrom('ok' as const, 'failed' as const, 'cancelled' as const),
    }),
    fc.record({ do: fc.constant('new' as const), device }),
    fc.record({ do: fc.constant('decide' as const), action: fc.constantFrom('allow' as const, 'veto' as const) }),
    fc.record({ do: fc.constant('tick' as const) }),
    fc.record({ do: fc.constant('restart' as const) }),
  )
  const rules = fc.constantFrom<ConsentRule[]>(
    [],
    [{ action: 'ask' }],
    [{ window: '00:00-00:01', action: 'veto' }, { action: 'defer' }],
  )
  fc.assert(
    fc.property(
      rules,
      fc.array(fc.tuple(fc.integer({ min: 0, max: 900 }), step), { maxLength: 30 }),
      (consentRules, steps) => {
        database = new Database(':memory:')
        database.exec(schema)
        known = new Set([a])
        let cycle = life(consentRules)
        let nowMs = 0
        let before: Record<string, QueryState> = {}
        for (const [passedMs, action] of steps) {
          nowMs += passedMs
          const authority = 'plant' in action && action.plant ? 'plant' : 'centre'
          switch (action.do) {
            case 'accept':
              cycle.accept(
                query({ authority, target: { site: 'plant-a', devices: action.all ? '*' : [a, c] } }),
                'j',
                nowMs,
              )
              break
            case 'cancel':
              cycle.accept(cancel('c-1', 'q-1', authority), 'j', nowMs)
              break
            case 'take':
              cycle.take([action.device], nowMs)
              break
            case 'ack':
              cycle.acknowledged(action.id, action.device, nowMs)
              break
            case 'answer':
              cycle.answered([{ ...answer(action.device, action.part, 2, action.status), receivedAtMs: nowMs }], nowMs)
              break
            case 'new':
              if (known.has(action.device)) break
              known.add(action.device)
              cycle.deviceIsNew(action.device, nowMs)
              break
            case 'decide':
              try {
                cycle.decide('q-1', action.action, 'eva', undefined, nowMs)
              } catch {
                // Nothing to decide: also an outcome.
              }
              break
            case 'tick':
              cycle.tick(nowMs)
              break
            case 'restart':
              cycle = life(consentRules)
              cycle.reviewAll(nowMs)
              break
          }
          const after = states() as Record<string, QueryState>
          for (const [name, state] of Object.entries(before)) {
            const now = after[name] ?? state
            expect(now === state || canReach(state, now)).toBe(true)
          }
          before = after
        }
        cycle.tick(Math.max(nowMs, untilMs + 1))
        expect(Object.values(states()).filter((state) => !isFinal(state))).toEqual([])
        expect(cycle.nextDueMs()).toBeUndefined()
        expect(verifyAudit(database).ok).toBe(true)
      },
    ),
    { numRuns: 300 },
  )
})

/** One step of the test may be two of the life cycle: a late answer after an expiry. */
function canReach(from: QueryState, to: QueryState): boolean {
  return advances(from, to) || queryStates.some((middle) => advances(from, middle) && advances(middle, to))
}
