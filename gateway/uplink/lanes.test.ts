import { expect, test } from 'vitest'
import { chooseLane, type LaneInputs } from './lanes.ts'

const nothing: LaneInputs = {
  hasAnswers: false,
  answersInARow: 0,
  hasEvents: false,
  hasHistory: false,
  isFarBehind: false,
  hasNewerTables: false,
  isInStateRound: false,
  sinceStateRoundMs: Infinity,
  stateRoundEveryMs: 30_000,
}

test('nothing waits, nothing is sent', () => {
  expect(chooseLane(nothing)).toBeUndefined()
})

test('answers go before all else', () => {
  expect(chooseLane({ ...nothing, hasAnswers: true, hasHistory: true, isFarBehind: true, hasNewerTables: true })).toBe(
    'answers',
  )
})

test('answers without end leave every fifth segment to what waits behind them', () => {
  const stream = { ...nothing, hasAnswers: true, hasHistory: true }
  expect(chooseLane({ ...stream, answersInARow: 3 })).toBe('answers')
  expect(chooseLane({ ...stream, answersInARow: 4 })).toBe('history')
  expect(chooseLane({ ...stream, answersInARow: 4, hasHistory: false })).toBe('answers')
})

test('devices that come and go make a segment of their own only when nothing else waits', () => {
  expect(chooseLane({ ...nothing, hasEvents: true, hasHistory: true })).toBe('history')
  expect(chooseLane({ ...nothing, hasEvents: true })).toBe('answers')
})

test('history goes in order while it is short; the newest state goes first once it is long', () => {
  const short = { ...nothing, hasHistory: true, hasNewerTables: true }
  expect(chooseLane(short)).toBe('history')
  expect(chooseLane({ ...short, isFarBehind: true })).toBe('state')
})

test('a round of state that has begun is finished, and the next one leaves time for history', () => {
  const behind = { ...nothing, hasHistory: true, isFarBehind: true, hasNewerTables: true }
  expect(chooseLane({ ...behind, isInStateRound: true, sinceStateRoundMs: 1 })).toBe('state')
  expect(chooseLane({ ...behind, sinceStateRoundMs: 29_999 })).toBe('history')
  expect(chooseLane({ ...behind, sinceStateRoundMs: 30_000 })).toBe('state')
})

test('state is not sent when no table is newer than what went up', () => {
  expect(chooseLane({ ...nothing, hasHistory: true, isFarBehind: true, isInStateRound: true })).toBe('history')
})
