import { expect, test } from 'vitest'
import { DeviceId, SiteId } from '../protocol/ids.ts'
import { accountFor } from './ledger.ts'
import { addLost } from './store/sqlite/epochs.ts'
import type { EpochRecord, LostRange } from './store/store.ts'

const epoch = (parts: Partial<EpochRecord>): EpochRecord => ({
  id: 1,
  site: SiteId.parse('plant-a'),
  device: DeviceId.parse('press-1'),
  epoch: 'epoch-0001',
  received: [],
  lost: [],
  siteReceived: null,
  siteReportedAtMs: null,
  ...parts,
})

test('every number up to the highest known is here, lost or missing', () => {
  const lost = [
    { from: 3, to: 6, reason: 'outbox-full' },
    { from: 12, to: 12, reason: 'too-large' },
  ]
  const sum = accountFor(
    epoch({
      received: [
        [1, 2],
        [5, 5],
        [9, 9],
      ],
      lost,
      siteReceived: [
        [1, 2],
        [9, 14],
      ],
      siteReportedAtMs: 7,
    }),
  )
  expect(sum).toMatchObject({ sent: 14, atCentre: 4, lost: 4, missing: 6, atSite: 8 })
  expect(sum.missingRanges).toEqual([
    [7, 8],
    [10, 11],
    [13, 14],
  ])
  expect(sum.atCentre + sum.lost + sum.missing).toBe(sum.sent)
})

test('an epoch of which nothing is known adds nothing', () => {
  expect(accountFor(epoch({}))).toMatchObject({ sent: 0, atCentre: 0, lost: 0, missing: 0, missingRanges: [] })
})

test('gaps are kept once, in order, joined with neighbours of the same reason', () => {
  const list: LostRange[] = []
  for (const [from, to, reason] of [
    [5, 6, 'a'],
    [1, 2, 'a'],
    [3, 4, 'a'],
    [5, 6, 'b'],
    [2, 3, 'b'],
    [9, 9, 'b'],
  ] as const) {
    addLost(list, { from, to, reason })
  }
  expect(list).toEqual([
    { from: 1, to: 6, reason: 'a' },
    { from: 9, to: 9, reason: 'b' },
  ])
})
