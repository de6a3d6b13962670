import { expect, test } from 'vitest'
import type { AgentStatus } from '../control/status.ts'
import { Epoch } from '../../protocol/ids.ts'
import { describe } from './status.ts'

const nowMs = 10_000_000
const status: AgentStatus = {
  device: 'press-1',
  site: 'plant-a',
  version: '1.2.3',
  pid: 42,
  startedMs: nowMs - 7_200_000,
  gateway: 'gw:8883',
  connected: true,
  sinceMs: nowMs - 60_000,
  lastAckMs: nowMs - 3000,
  inFlight: 0,
  lastProblem: undefined,
  clockAheadMs: 400,
  outbox: {
    epoch: Epoch.parse('epoch-of-tests'),
    recordCount: 1,
    byteCount: 2048,
    maxBytes: 67_108_864,
    nextSeq: 9,
    lostCount: 0,
    writeCount: 1,
    writtenBytes: 1,
  },
  schedule: [
    { name: 'later', nextAtMs: nowMs + 60_000, missedCount: 0, problem: undefined },
    { name: 'soon', nextAtMs: nowMs + 5000, missedCount: 0, problem: undefined },
  ],
  denyList: [],
  commands: { waiting: 0, running: undefined, answered: 3 },
}
const text = (changes: Partial<AgentStatus>) =>
  describe({ ...status, ...changes }, nowMs)
    .map((line) => line.join(': '))
    .join('\n')

test('when all is well it is six lines', () => {
  expect(text({})).toBe(`device: press-1 of site plant-a
agent: version 1.2.3, pid 42, up 2 h
gateway: connected to gw:8883 for 1 min
outbox: 1 record waits, 2 KiB of 64 MiB used, last acknowledged 3 s ago
schedule: 2 queries, next soon in 5 s
commands: 3 answered since the start, 0 waiting`)
})

test('a link that is down says for how long, why, and what to do', () => {
  const lastProblem = { kind: 'unknown-ca', message: 'not under the CA', hint: 'use the root', atMs: nowMs }
  expect(text({ connected: false, lastProblem })).toContain(
    'gateway: not connected for 1 min: not under the CA; try: use the root',
  )
})

test('what is wrong is said: a clock that is off, lost records, denied and failing queries', () => {
  const [query] = status.schedule
  const all = text({
    clockAheadMs: -7_200_000,
    outbox: { ...status.outbox, lostCount: 5 },
    denyList: [{ sqlSha256: 'a'.repeat(64), reason: 'ate the memory', untilMs: nowMs + 3_600_000 }],
    schedule: query === undefined ? [] : [{ ...query, problem: 'has too many rows' }],
  })
  expect(all).toContain("clock: 2 h behind the gateway's")
  expect(all).toContain('5 LOST')
  expect(all).toContain('denied: aaaaaaaaaaaa… for another 1 h: ate the memory')
  expect(all).toContain('problem: query later has too many rows')
})
