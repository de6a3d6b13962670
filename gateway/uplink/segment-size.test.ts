import { expect, test } from 'vitest'
import { SegmentSize } from './segment-size.ts'

const options = { startBytes: 256_000, minBytes: 16_000, maxBytes: 4_000_000, aimMs: 10_000 }

test('grows by no more than double a time, up to its limit, on a fast link', () => {
  const size = new SegmentSize(options)
  size.sent(256_000, 100)
  expect(size.targetBytes).toBe(512_000)
  for (let n = 0; n < 9; n++) size.sent(size.targetBytes, 100)
  expect(size.targetBytes).toBe(4_000_000)
})

test('shrinks at once to what a slow link carries in ten seconds', () => {
  const size = new SegmentSize(options)
  size.sent(256_000, 64_000)
  expect(size.targetBytes).toBe(40_000)
})

test('a small body cannot show that the link is fast, but can show that it is slow', () => {
  const size = new SegmentSize(options)
  size.sent(1000, 1)
  expect(size.targetBytes).toBe(256_000)
  size.sent(1000, 1000)
  expect(size.targetBytes).toBe(16_000)
})

test('a body that did not get through halves the next one, down to a limit', () => {
  const size = new SegmentSize(options)
  size.stalled()
  expect(size.targetBytes).toBe(128_000)
  for (let n = 0; n < 9; n++) size.stalled()
  expect(size.targetBytes).toBe(16_000)
})
