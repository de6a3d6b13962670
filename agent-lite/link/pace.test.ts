import { expect, test } from 'vitest'
import { Pace } from './pace.ts'

const max = { maxInFlight: 4, batchBytes: 262_144 }

test('quick acknowledgements open it up to the configured limits and no further', () => {
  const pace = new Pace(max)
  expect([pace.inFlight, pace.batchBytes]).toEqual([1, 65_536])
  for (let count = 0; count < 10; count++) pace.acknowledged(100)
  expect([pace.inFlight, pace.batchBytes]).toEqual([4, 262_144])
})

test('slow acknowledgements bring it down to one small envelope at a time', () => {
  const pace = new Pace(max)
  for (let count = 0; count < 10; count++) pace.acknowledged(100)
  for (let count = 0; count < 10; count++) pace.acknowledged(20_000)
  expect([pace.inFlight, pace.batchBytes, pace.patience]).toEqual([1, 16_384, 1])
})

test('each connection that ended waiting doubles its patience, a quick acknowledgement ends that', () => {
  const pace = new Pace(max)
  for (let count = 0; count < 10; count++) pace.waitedInVain()
  expect([pace.inFlight, pace.batchBytes, pace.patience]).toEqual([1, 16_384, 16])
  pace.acknowledged(20_000)
  expect(pace.patience).toBe(16)
  pace.acknowledged(100)
  expect(pace.patience).toBe(1)
})

test('a batch is never larger than configured, however small that is', () => {
  const pace = new Pace({ maxInFlight: 1, batchBytes: 4096 })
  pace.acknowledged(100)
  pace.acknowledged(20_000)
  pace.waitedInVain()
  expect([pace.inFlight, pace.batchBytes]).toEqual([1, 4096])
})
