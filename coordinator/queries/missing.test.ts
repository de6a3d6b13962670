import { expect, test } from 'vitest'
import { DeviceId, SiteId } from '../../protocol/ids.ts'
import type { Link } from '../../protocol/api.ts'
import type { TargetRecord } from '../store/store.ts'
import { viewTarget } from './missing.ts'

const atMs = Date.UTC(2026, 10, 24, 10, 2)
const up: Link = { state: 'up', lastContactAtMs: atMs }

function why(target: Partial<TargetRecord>, link = up) {
  const whole: TargetRecord = {
    site: SiteId.parse('plant-b'),
    device: DeviceId.parse('press-3'),
    state: 'queued',
    reason: null,
    times: {},
    rows: null,
    awaitsParts: false,
    presence: 'here',
    presenceAtMs: atMs,
    ...target,
  }
  const { waitingFor, reason } = viewTarget(whole, link)
  return [waitingFor, reason]
}

test('each way of not having answered yet has its cause and its time', () => {
  expect(why({}, { state: 'never' })).toEqual(['never-connected', 'the site has never connected'])
  expect(why({}, { state: 'down', sinceMs: atMs })).toEqual(['link-down', 'link down since 2026-11-24T10:02:00Z'])
  expect(why({ state: 'dispatched', times: { dispatched: atMs } }, { state: 'down', sinceMs: atMs })).toEqual([
    'link-down',
    'link down since 2026-11-24T10:02:00Z; last word: dispatched at 2026-11-24T10:02:00Z',
  ])
  expect(why({})).toEqual(['on-its-way', 'on its way to the site'])
  expect(why({ state: 'at-site', device: null })).toEqual(['device-unknown', 'the site has not named its devices yet'])
  expect(why({ state: 'dispatched', presence: 'gone' })).toEqual([
    'device-gone',
    'device gone since 2026-11-24T10:02:00Z',
  ])
  expect(
    why({ state: 'awaiting-consent', times: { 'awaiting-consent': atMs }, reason: 'heavy', presence: 'gone' }),
  ).toEqual(['awaiting-consent', 'waits for consent at the plant since 2026-11-24T10:02:00Z: heavy'])
  expect(why({ state: 'running', times: { running: atMs } })).toEqual(['running', 'running since 2026-11-24T10:02:00Z'])
  expect(why({ state: 'running', awaitsParts: true })).toEqual([
    'answer-incomplete',
    'answered; its rows are still on their way',
  ])
})

test('what has ended keeps the reason it ended with', () => {
  expect(why({ state: 'vetoed', reason: 'night shift' }, { state: 'down', sinceMs: 1 })).toEqual([
    undefined,
    'night shift',
  ])
  expect(why({ state: 'answered' })).toEqual([undefined, undefined])
})
