import { expect, test } from 'vitest'
import { fixtureDevice, readTable } from '../../test/support/read-table.ts'
import { groups } from './groups.ts'

const device = fixtureDevice('rpi4-raspbian')

test('lists each gid once, by its first name', () => {
  const { rows } = readTable(groups, { device })
  expect(rows.map(({ gid, groupname }) => `${String(gid)} ${String(groupname)}`)).toEqual([
    '0 root',
    '1 daemon',
    '20 dialout',
    '997 gpio',
    '1000 pi',
    '65534 nogroup',
    '4294967294 nfsnobody',
  ])
  expect(rows.at(-1)).toMatchObject({ gid_signed: -2 })
})

test('looks up by gid', () => {
  expect(readTable(groups, { device, where: { gid: ['20'] } }).rows).toEqual([
    { gid: 20, gid_signed: 20, groupname: 'dialout', pid_with_namespace: 0 },
  ])
})
