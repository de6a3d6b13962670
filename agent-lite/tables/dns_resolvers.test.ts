import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { Device } from '../sources/device.ts'
import { fixtureDevice, readTable } from '../../test/support/read-table.ts'
import { dnsResolvers } from './dns_resolvers.ts'

function read(resolvConf: string, hostname: string) {
  const root = mkdtempSync(join(tmpdir(), 'dns-'))
  onTestFinished(() => rmSync(root, { recursive: true }))
  mkdirSync(join(root, 'etc'))
  mkdirSync(join(root, 'proc/sys/kernel'), { recursive: true })
  writeFileSync(join(root, 'etc/resolv.conf'), resolvConf)
  writeFileSync(join(root, 'proc/sys/kernel/hostname'), hostname)
  return readTable(dnsResolvers, { device: new Device(root) }).rows
}

test('lists three name servers at most, the sort list and every search domain', () => {
  const { rows } = readTable(dnsResolvers, { device: fixtureDevice('rpi4-raspbian') })
  const options = 0x2c1 | 0x4000 | 0x100000
  expect(rows.map(({ pid_with_namespace: _, ...row }) => row)).toEqual([
    { id: 0, type: 'nameserver', address: '10.0.3.1', netmask: '32', options },
    { id: 1, type: 'nameserver', address: 'fd00:3::1', netmask: '32', options },
    { id: 2, type: 'nameserver', address: '10.0.3.2', netmask: '32', options },
    { id: 0, type: 'sortlist', address: '130.155.160.0', netmask: '255.255.240.0', options },
    { id: 1, type: 'sortlist', address: '10.0.0.0', netmask: '255.0.0.0', options },
    { id: 0, type: 'search', address: 'plant.example', netmask: null, options },
    { id: 1, type: 'search', address: 'line3.plant.example', netmask: null, options },
  ])
})

test('assumes the loopback and the domain of the host name, as the C library does', () => {
  expect(read('; nothing\n nameserver 10.0.0.1\n', 'plc.plant.example\n')).toMatchObject([
    { type: 'nameserver', address: '127.0.0.1', options: 705 },
    { type: 'search', address: 'plant.example' },
  ])
})

test('lets the last of domain and search win', () => {
  const rows = read('search a b\ndomain c\n', 'plc\n')
  expect(rows.filter((row) => row['type'] === 'search')).toMatchObject([{ address: 'c' }])
})

test('has no rows without a resolv.conf', () => {
  expect(readTable(dnsResolvers, { device: fixtureDevice('empty') }).rows).toEqual([])
})
