import { expect, test } from 'vitest'
import { SourceError } from '../sources/device.ts'
import { fixtureDevice, readTable } from '../../test/support/read-table.ts'
import { crontab } from './crontab.ts'

test('reads system and user tables, and passes over settings, comments and hidden files', () => {
  expect(readTable(crontab, { device: fixtureDevice('rpi4-raspbian') }).rows).toEqual([
    {
      minute: '17',
      hour: '*',
      day_of_month: '*',
      month: '*',
      day_of_week: '*',
      command: 'root cd / && run-parts --report /etc/cron.hourly',
      path: '/etc/crontab',
      pid_with_namespace: 0,
    },
    { event: '@reboot', command: 'root /usr/local/bin/plc-watch --quiet', path: '/etc/crontab', pid_with_namespace: 0 },
    {
      minute: '*/5',
      hour: '1-5',
      day_of_month: '*',
      month: 'jan-mar',
      day_of_week: '1,3',
      command: 'plc /opt/backup %d',
      path: '/etc/cron.d/backup',
      pid_with_namespace: 0,
    },
    {
      minute: '0',
      hour: '6',
      day_of_month: '*',
      month: '*',
      day_of_week: '*',
      command: '/home/pi/report.sh',
      path: '/var/spool/cron/crontabs/pi',
      pid_with_namespace: 0,
    },
  ])
})

test('warns of a folder it may not read and gives the other jobs', () => {
  const device = fixtureDevice('rpi4-raspbian')
  const names = device.names.bind(device)
  device.names = (path) => {
    if (path === '/var/spool/cron/crontabs') throw new SourceError(path, 'EACCES', undefined)
    return names(path)
  }
  const { rows, warnings } = readTable(crontab, { device })
  expect(rows).toHaveLength(3)
  expect(warnings).toEqual(['cannot read /var/spool/cron/crontabs: permission denied (root may be allowed to)'])
})
