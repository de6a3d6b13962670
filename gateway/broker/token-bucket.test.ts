import { expect, test } from 'vitest'
import { TokenBucket } from './token-bucket.ts'

test('a burst passes at once, what comes after it waits for the rate', () => {
  let nowMs = 0
  const bucket = new TokenBucket(100, 50, () => nowMs)
  bucket.take(50)
  expect(bucket.waitMs()).toBe(0)
  expect(bucket.waitMs(1)).toBe(10)
  bucket.take(200)
  expect(bucket.waitMs()).toBe(2000)
  nowMs += 1000
  expect(bucket.waitMs()).toBe(1000)
  nowMs += 60_000
  bucket.take(50)
  expect(bucket.waitMs(1)).toBe(10)
})
