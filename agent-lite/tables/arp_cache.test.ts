import { expect, test } from 'vitest'
import { fixtureDevice, readTable } from '../../test/support/read-table.ts'
import { arpCache } from './arp_cache.ts'

test('lists neighbours, marks those set by hand and keeps those that did not answer', () => {
  expect(readTable(arpCache, { device: fixtureDevice('lab') }).rows).toEqual([
    { address: '192.0.2.1', mac: 'ea:b3:c6:4b:2a:c3', interface: 'eth0', permanent: '0' },
    { address: '10.20.30.50', mac: '02:00:00:00:00:50', interface: 'eth1', permanent: '1' },
    { address: '192.0.2.77', mac: '00:00:00:00:00:00', interface: 'eth0', permanent: '0' },
  ])
})

test('a machine without neighbours has no rows', () => {
  expect(readTable(arpCache, { device: fixtureDevice('pi3-network') })).toEqual({ rows: [], warnings: [] })
})
