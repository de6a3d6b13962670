import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { addressesOf, sorted, type IpLink } from '../../test/support/ip-json.ts'
import { fixtureDevice, readTable } from '../../test/support/read-table.ts'
import { interfaceAddresses } from './interface_addresses.ts'

const lab = fixtureDevice('lab')

test('finds the addresses that ip finds, on unplugged interfaces and tunnels too', () => {
  const { rows, warnings } = readTable(interfaceAddresses, { device: lab })
  const links = JSON.parse(readFileSync(`${lab.root}/expected/ip-addr.json`, 'utf8')) as IpLink[]
  const name = (row: Record<string, unknown>) => ({ interface: row.interface, address: row.address })
  expect(sorted(rows.map(name))).toEqual(sorted(addressesOf(links).map(name)))
  expect(rows.map((row) => row.interface).slice(0, 7)).toEqual(['lo', 'eth0', 'eth1', 'eth1', 'eth1', 'eth2', 'tun0'])
  expect(warnings).toEqual([])
})

test('gives mask, broadcast address and far end as getifaddrs does', () => {
  const { rows } = readTable(interfaceAddresses, { device: lab })
  const row = (address: string) => rows.find((each) => each.address === address)
  const unknown = { type: 'unknown' }
  expect(row('172.16.5.1')).toEqual({
    ...{ interface: 'eth1', address: '172.16.5.1', mask: '255.255.255.252', broadcast: '172.16.5.3' },
    ...unknown,
  })
  expect(row('127.0.0.1')).toMatchObject({ mask: '255.0.0.0', point_to_point: '127.0.0.1' })
  expect(row('10.8.0.2')).toMatchObject({ mask: '255.255.255.255', point_to_point: '10.8.0.1' })
  expect(row('fe80::ff:fe00:101%eth1')).toEqual({
    ...{ interface: 'eth1', address: 'fe80::ff:fe00:101%eth1', mask: 'ffff:ffff:ffff:ffff::' },
    ...unknown,
  })
})

test('reads kernels that keep local routes apart, and leaves the interface open when no network tells it', () => {
  const { rows } = readTable(interfaceAddresses, { device: fixtureDevice('pi3-network') })
  expect(rows.map((row) => [row.interface, row.address, row.mask, row.broadcast])).toEqual([
    ['lo', '127.0.0.1', '255.0.0.0', undefined],
    ['eth0', '192.168.1.40', '255.255.255.0', '192.168.1.255'],
    [undefined, '172.31.0.7', '255.255.255.255', undefined],
  ])
})
