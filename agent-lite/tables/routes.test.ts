import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { routeOf, sorted, type IpRoute } from '../../test/support/ip-json.ts'
import { fixtureDevice, readTable } from '../../test/support/read-table.ts'
import { routes } from './routes.ts'

const lab = fixtureDevice('lab')
const expectedRoutes = (file: string) => JSON.parse(readFileSync(`${lab.root}/expected/${file}`, 'utf8')) as IpRoute[]
const plain = (rows: Record<string, unknown>[]) =>
  rows.map((row) => Object.fromEntries(Object.entries(row).map(([key, value]) => [key, value ?? null])))

test('lists the routes of ip in every table, both families, as osquery words them', () => {
  const { rows } = readTable(routes, { device: lab })
  const expected = [
    ...expectedRoutes('ip-route.json').map((route) => routeOf(route, false)),
    ...expectedRoutes('ip-route6.json').map((route) => routeOf(route, true)),
  ]
  const isInMainTables = (row: Record<string, unknown>) => row.destination !== '10.99.0.0'
  expect(sorted(plain(rows).filter(isInMainTables))).toEqual(sorted(expected.filter(isInMainTables)))
  expect(rows.find((row) => !isInMainTables(row))).toMatchObject({ netmask: 16, type: 'gateway', interface: undefined })
})

test('says which routes of other tables it can only name', () => {
  expect(readTable(routes, { device: lab }).warnings).toEqual([
    'routes: gateway and interface of routes in table Id 100 need netlink',
  ])
})

test('a default route is 0.0.0.0 with mask 0 and type gateway', () => {
  const { rows } = readTable(routes, { device: fixtureDevice('pi3-network'), where: { type: ['gateway'] } })
  expect(rows[0]).toEqual({
    ...{ destination: '0.0.0.0', netmask: 0, gateway: '192.168.1.1', source: undefined, flags: 0 },
    ...{ interface: 'eth0', mtu: 0, metric: 202, type: 'gateway', hopcount: 0 },
  })
  expect(rows[1]).toMatchObject({ destination: '192.168.1.0', netmask: 24, source: '192.168.1.40' })
  expect(rows).toHaveLength(2)
})

test('finds the interface of broadcast routes to both ends of a network, as older kernels have them', () => {
  const { rows } = readTable(routes, { device: fixtureDevice('pi3-network'), where: { type: ['broadcast'] } })
  expect(rows.map((row) => [row.destination, row.interface, row.source, row.netmask])).toEqual([
    ['127.0.0.0', 'lo', '127.0.0.1', 0],
    ['127.255.255.255', 'lo', '127.0.0.1', 0],
    ['192.168.1.0', 'eth0', '192.168.1.40', 0],
    ['192.168.1.255', 'eth0', '192.168.1.40', 0],
  ])
})
