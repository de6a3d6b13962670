import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { flagsOf, type IpLink } from '../../test/support/ip-json.ts'
import { fixtureDevice, readTable } from '../../test/support/read-table.ts'
import { interfaceDetails } from './interface_details.ts'

const lab = fixtureDevice('lab')
const pi = fixtureDevice('pi3-network')

test('lists every interface, also those that are down, with the flags and sizes that ip names', () => {
  const { rows, warnings } = readTable(interfaceDetails, { device: lab })
  const links = JSON.parse(readFileSync(`${lab.root}/expected/ip-link.json`, 'utf8')) as IpLink[]
  expect(rows.map(({ interface: name, mtu, flags }) => [name, mtu, flags])).toEqual(
    links.map((link) => [link.ifname, link.mtu, flagsOf(link)]),
  )
  expect(warnings).toEqual([])
})

test('gives a row in full', () => {
  const { rows } = readTable(interfaceDetails, { device: lab })
  expect(rows[1]).toEqual({
    ...{ interface: 'eth0', mac: '02:00:00:00:01:00', type: 1, mtu: 1500, metric: 0, flags: 0x11043 },
    ...{ ipackets: 13, opackets: 16, ibytes: 952, obytes: 1050, ierrors: 0, oerrors: 0, idrops: 0, odrops: 0 },
    ...{ collisions: 0, last_change: -1, link_speed: 10000, pci_slot: '' },
  })
})

test('shows the low byte of the hardware type, and zeros where there is no hardware address', () => {
  const { rows } = readTable(interfaceDetails, { device: pi })
  expect(rows.map(({ interface: name, type, mac }) => [name, type, mac])).toEqual([
    ['lo', 4, '00:00:00:00:00:00'],
    ['eth0', 1, 'b8:27:eb:00:00:01'],
    ['wlan0', 1, 'b8:27:eb:00:00:02'],
    ['can0', 24, '00:00:00:00:00:00'],
    ['wg0', 254, '00:00:00:00:00:00'],
  ])
})

test('names the place of a device on its bus as ethtool does', () => {
  const slots = [lab, pi].flatMap((device) => readTable(interfaceDetails, { device }).rows)
  expect(Object.fromEntries(slots.map((row) => [row.interface, row.pci_slot]))).toMatchObject({
    lo: '-1',
    't-bridge': 'N/A',
    tun0: 'tun',
    eth3: '',
    eth0: 'usb-3f980000.usb-1.1',
    wlan0: 'mmc1:0001:1',
    can0: 'spi0.0',
  })
})

test('keeps counters past 4 GiB, and past what a double can count', () => {
  const eth0 = readTable(interfaceDetails, { device: pi }).rows.find((row) => row.interface === 'eth0')
  expect(eth0).toMatchObject({ obytes: 5_000_000_000, link_speed: 100 })
  expect(eth0?.ibytes).toBe(-1n) // 2^64 - 1 in the signed 64 bits of SQLite
})

test('an unknown speed is 0, and is not read when nobody asks', () => {
  const wg0 = (used?: string[]) =>
    readTable(interfaceDetails, { device: pi, ...(used && { used }) }).rows.find((row) => row.interface === 'wg0')
  expect(wg0()?.link_speed).toBe(0)
  expect(wg0(['interface'])?.link_speed).toBeNull()
})
