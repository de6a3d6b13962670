import { expect, test } from 'vitest'
import { fixtureDevice, readTable } from '../../test/support/read-table.ts'
import { loadAverage } from './load_average.ts'

test('prints the three averages with six decimals', () => {
  expect(readTable(loadAverage, { device: fixtureDevice('rpi4-raspbian') }).rows).toEqual([
    { period: '1m', average: '0.250000' },
    { period: '5m', average: '0.310000' },
    { period: '15m', average: '1.070000' },
  ])
})
