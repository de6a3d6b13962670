import { expect, test } from 'vitest'
import { fixtureDevice, readTable } from '../../test/support/read-table.ts'
import { cpuTime } from './cpu_time.ts'

test('gives one row for each core, without the line of sums', () => {
  const { rows } = readTable(cpuTime, { device: fixtureDevice('rpi4-raspbian') })
  expect(rows.map((row) => row['core'])).toEqual([0, 1])
  expect(rows[1]).toEqual({
    core: 1,
    user: 10292,
    nice: 3,
    system: 4569,
    idle: 1750300,
    iowait: 829,
    irq: 0,
    softirq: 134,
    steal: 0,
    guest: 0,
    guest_nice: 0,
  })
})
