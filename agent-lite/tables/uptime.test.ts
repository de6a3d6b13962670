import { expect, test } from 'vitest'
import { fixtureDevice, readTable } from '../../test/support/read-table.ts'
import { uptime } from './uptime.ts'

test('splits the time since boot, counting a begun second as sysinfo(2) does', () => {
  const { rows } = readTable(uptime, { device: fixtureDevice('rpi4-raspbian') })
  expect(rows).toEqual([{ days: 2, hours: 3, minutes: 4, seconds: 6, total_seconds: 183846 }])
})
