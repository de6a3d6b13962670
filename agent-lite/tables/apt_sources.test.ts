import { expect, test } from 'vitest'
import { fixtureDevice, readTable } from '../../test/support/read-table.ts'
import { aptSources } from './apt_sources.ts'

const device = fixtureDevice('rpi4-raspbian')

test('reads one-line and deb822 files, each address with each suite, without sources that are off', () => {
  const { rows } = readTable(aptSources, { device })
  expect(rows.map(({ base_uri, name, release }) => [base_uri, name, release])).toEqual([
    ['http://raspbian.raspberrypi.org/raspbian', 'raspbian.raspberrypi.org/raspbian bullseye', 'bullseye'],
    ['https://deb.nodesource.com/node_20.x', 'deb.nodesource.com/node_20.x nodistro', 'nodistro'],
    ['file:/media/usb/repo', '/media/usb/repo ./', undefined],
    [
      'cdrom:[Debian GNU/Linux 12.0.0 _Bookworm_ - Official]',
      '[Debian GNU/Linux 12.0.0 _Bookworm_ - Official] bookworm',
      undefined,
    ],
    ['http://deb.debian.org/debian', 'deb.debian.org/debian bookworm', undefined],
    ['http://deb.debian.org/debian', 'deb.debian.org/debian bookworm/updates', undefined],
    ['https://mirror.plant.example/debian', 'mirror.plant.example/debian bookworm', undefined],
    ['https://mirror.plant.example/debian', 'mirror.plant.example/debian bookworm/updates', undefined],
  ])
})

test('takes the release from the signed part of the downloaded file only', () => {
  expect(readTable(aptSources, { device }).rows[0]).toEqual({
    name: 'raspbian.raspberrypi.org/raspbian bullseye',
    source: '/etc/apt/sources.list',
    base_uri: 'http://raspbian.raspberrypi.org/raspbian',
    release: 'bullseye',
    version: '11.7',
    maintainer: 'Raspbian',
    components: 'main contrib non-free rpi firmware',
    architectures: 'armhf',
    pid_with_namespace: 0,
  })
})

test('does not look for release files when their columns are not asked for', () => {
  const { rows } = readTable(aptSources, { device, used: ['base_uri'] })
  expect(rows[0]?.['release']).toBeUndefined()
  expect(rows).toHaveLength(8)
})
