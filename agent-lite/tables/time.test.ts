import { expect, test } from 'vitest'
import { fixtureDevice, readTable } from '../../test/support/read-table.ts'
import { time } from './time.ts'

test('gives the moment in UTC in every form osquery has, and the abbreviation of the local zone', () => {
  const { rows } = readTable(time, { device: fixtureDevice('rpi4-raspbian') })
  expect(rows).toEqual([
    {
      weekday: 'Tuesday',
      year: 2026,
      month: 3,
      day: 3,
      hour: 14,
      minutes: 5,
      seconds: 9,
      timezone: 'UTC',
      local_timezone: 'CET',
      unix_time: 1772546709,
      timestamp: 'Tue Mar  3 14:05:09 2026 UTC',
      datetime: '2026-03-03T14:05:09Z',
      iso_8601: '2026-03-03T14:05:09Z',
    },
  ])
})

test('knows summer time', () => {
  const { rows } = readTable(time, { device: fixtureDevice('rpi4-raspbian', Date.UTC(2026, 6, 31)) })
  expect(rows[0]).toMatchObject({ local_timezone: 'CEST', timestamp: 'Fri Jul 31 00:00:00 2026 UTC' })
})
