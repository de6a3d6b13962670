import { expect, test } from 'vitest'
import { observedAtMs } from './observed.ts'

const receivedAtMs = Date.UTC(2026, 10, 24, 12)
const minute = 60_000

test.each([
  ['a trusted clock is taken at its word', { atMs: receivedAtMs - 5 * minute, clock: 'synced' }, -5 * minute],
  [
    'a device that says nothing of its clock is believed while it is plausible',
    { atMs: receivedAtMs - minute },
    -minute,
  ],
  ['a clock slightly ahead is cut to the arrival', { atMs: receivedAtMs + minute, clock: 'synced' }, 0],
  ['a clock ten years ahead is not believed', { atMs: receivedAtMs + 3.2e11, clock: 'synced' }, 0],
  ['a record without a time is as old as its arrival', {}, 0],
  ['an unset clock tells by differences', { atMs: 1000, sentMs: 1000 + 7 * minute, clock: 'unsynced' }, -7 * minute],
  [
    'an unset clock that runs ten years ahead too',
    { atMs: receivedAtMs + 3.2e11, sentMs: receivedAtMs + 3.2e11 + minute, clock: 'unsynced' },
    -minute,
  ],
  ['a clock that was set before sending tells nothing', { atMs: 1000, sentMs: receivedAtMs, clock: 'synced' }, 0],
  ['a clock that jumped back before sending tells nothing', { atMs: 9000, sentMs: 1000, clock: 'unsynced' }, 0],
] as const)('%s', (_, input, offsetMs) => {
  expect(observedAtMs({ ...input, receivedAtMs })).toBe(receivedAtMs + offsetMs)
})
