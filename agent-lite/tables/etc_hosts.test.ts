import { expect, test } from 'vitest'
import { fixtureDevice, readTable } from '../../test/support/read-table.ts'
import { etcHosts } from './etc_hosts.ts'

const device = fixtureDevice('rpi4-raspbian')

test('reads names as osquery does: a comment starts a word, and an address alone is a row', () => {
  expect(readTable(etcHosts, { device }).rows.map(({ address, hostnames }) => [address, hostnames])).toEqual([
    ['127.0.0.1', 'localhost'],
    ['::1', 'localhost ip6-localhost ip6-loopback'],
    ['10.0.3.1', 'gateway gw#1'],
    ['10.0.3.9', null],
    ['127.0.1.1', 'press-line-3.plant.example press-line-3'],
    ['10.0.3.8', ''],
  ])
})

test('says why another process namespace has no answer', () => {
  const { rows, warnings } = readTable(etcHosts, { device, where: { pid_with_namespace: ['4711'] } })
  expect(rows.every((row) => row['pid_with_namespace'] === 0)).toBe(true)
  expect(warnings).toEqual(["pid_with_namespace = 4711: only the host's own files (0) can be read"])
})
