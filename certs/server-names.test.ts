import { expect, test } from 'vitest'
import { subjectAltNames } from './server-names.ts'

test('loopback names are only there when asked for', () => {
  expect(subjectAltNames({ dns: ['GW.Plant-A.example'], ip: ['10.0.0.1'] })).toEqual([
    { type: 'dns', value: 'gw.plant-a.example' },
    { type: 'ip', value: '10.0.0.1' },
  ])
  expect(subjectAltNames({ dns: ['localhost'], loopback: true }).map(({ value }) => value)).toEqual([
    'localhost',
    '127.0.0.1',
    '::1',
  ])
})

test.each([
  {},
  { dns: ['10.0.0.1'] },
  { dns: ['a b'] },
  { dns: [''] },
  { dns: ['*.*.example'] },
  { dns: [`${'a'.repeat(64)}.example`] },
  { ip: ['10.0.0'] },
  { ip: ['fe80::1%eth0'] },
  { ip: ['gateway.example'] },
])('refuses %j with a remedy', (names) => {
  expect(() => subjectAltNames(names)).toThrow(expect.objectContaining({ code: 'SERVER_NAME_INVALID', exit: 'usage' }))
})
