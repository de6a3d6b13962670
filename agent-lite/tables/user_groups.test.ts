import { expect, test } from 'vitest'
import { fixtureDevice, readTable } from '../../test/support/read-table.ts'
import { userGroups } from './user_groups.ts'

const device = fixtureDevice('rpi4-raspbian')
const pairs = (where: Record<string, string[]>) =>
  readTable(userGroups, { device, where }).rows.map(({ uid, gid }) => [uid, gid])

test('names the main group first and each group once', () => {
  expect(pairs({ uid: ['1000', '1'] })).toEqual([
    [1, 1],
    [1, 20],
    [1000, 1000],
    [1000, 20],
    [1000, 997],
  ])
})

test('looks up the members of a group', () => {
  expect(pairs({ gid: ['20'] })).toEqual([
    [1, 20],
    [1000, 20],
  ])
})
