import { expect, test } from 'vitest'
import { SourceError } from '../sources/device.ts'
import { fixtureDevice, readTable } from '../../test/support/read-table.ts'
import { mounts } from './mounts.ts'

test('decodes paths, follows device links and measures what is mounted, but never wakes autofs', () => {
  const { rows, warnings } = readTable(mounts, { device: fixtureDevice('rpi4-raspbian') })
  expect(warnings).toEqual([])
  expect(rows.map(({ device, device_alias, path, type }) => [device, device_alias, path, type])).toEqual([
    ['/dev/root', '/dev/root', '/', 'ext4'],
    ['proc', 'proc', '/proc', 'proc'],
    ['systemd-1', 'systemd-1', '/root', 'autofs'],
    ['/dev/disk/by-label/LOGS', '/dev/sda1', '/media/usb stick', 'vfat'],
  ])
  expect(rows[0]).toMatchObject({ flags: 'rw,noatime' })
  expect(rows[0]?.['blocks']).toBeGreaterThan(0n)
  expect(rows[2]).toMatchObject({ blocks_size: 0, blocks: 0n, inodes: 0n })
  expect(rows[3]).toMatchObject({ blocks_size: 0, blocks: 0n, inodes: 0n })
})

test('does not touch a mount whose size nobody asked for, and warns of one that may not be measured', () => {
  const device = fixtureDevice('rpi4-raspbian')
  device.statfs = (path) => {
    throw new SourceError(path, 'EACCES', undefined)
  }
  const unmeasured = readTable(mounts, { device, used: ['path', 'type'] })
  expect(unmeasured.rows).toHaveLength(4)
  expect(unmeasured.warnings).toEqual([])

  const { rows, warnings } = readTable(mounts, { device, used: ['path', 'blocks'] })
  expect(rows).toHaveLength(4)
  expect(warnings).toContain('cannot read /media/usb stick: permission denied (root may be allowed to)')
})
