import { expect, test } from 'vitest'
import { fixtureDevice, readTable } from '../../test/support/read-table.ts'
import { debPackages } from './deb_packages.ts'

const device = fixtureDevice('rpi4-raspbian')

test('lists what is or was installed, sorted, with the updates of an unfinished dpkg run', () => {
  const { rows } = readTable(debPackages, { device })
  expect(rows.map(({ name, version, status }) => [name, version, status])).toEqual([
    ['adduser', '3.118+deb11u1', 'install ok installed'],
    ['libgcc-s1', '1:10.2.1-6+rpi1', 'install ok installed'],
    ['oldtool', '2.0-1', 'deinstall ok config-files'],
    ['plc-runtime', '4.8.0.0-2', 'install ok installed'],
  ])
  expect(rows[1]).toEqual({
    name: 'libgcc-s1',
    version: '1:10.2.1-6+rpi1',
    source: 'gcc-10 (10.2.1-6+rpi1)',
    size: 70,
    arch: 'armhf',
    revision: '6+rpi1',
    status: 'install ok installed',
    maintainer: 'Debian GCC Maintainers <debian-gcc@lists.debian.org>',
    section: 'libs',
    priority: 'optional',
    admindir: '/var/lib/dpkg',
    pid_with_namespace: 0,
  })
  expect(rows[3]).toMatchObject({ source: '', size: null, section: '', priority: 'unknown', revision: '2' })
})

test('reads another admindir and keeps its text, and warns when there is no database', () => {
  const other = readTable(debPackages, { device, where: { admindir: ['/var/lib/dpkg/', '/opt/dpkg'] } })
  expect(other.rows.map((row) => row['admindir'])).toEqual(Array(4).fill('/var/lib/dpkg/'))
  expect(other.warnings).toEqual(['/opt/dpkg is not a folder of dpkg: it has no file status'])
})

test('has no rows, and no warning, on a system without dpkg', () => {
  expect(readTable(debPackages, { device: fixtureDevice('empty') })).toEqual({ rows: [], warnings: [] })
})
