import { expect, test } from 'vitest'
import { fixtureDevice, readTable } from '../../test/support/read-table.ts'
import { users } from './users.ts'

const device = fixtureDevice('rpi4-raspbian')

test('lists the accounts of /etc/passwd and passes over lines without a numeric id', () => {
  const { rows } = readTable(users, { device })
  expect(rows.map((row) => row['username'])).toEqual(['root', 'daemon', 'nobody', 'nfsnobody', 'pi'])
  expect(rows[3]).toEqual({
    uid: 4294967294,
    gid: 4294967294,
    uid_signed: -2,
    gid_signed: -2,
    username: 'nfsnobody',
    description: 'Anonymous, NFS',
    directory: '/var/lib/nfs',
    shell: '/sbin/nologin',
    uuid: null,
    pid_with_namespace: 0,
    include_remote: 0,
  })
})

test('looks up by uid and by name', () => {
  const names = (where: Record<string, string[]>) =>
    readTable(users, { device, where }).rows.map((row) => row['username'])
  expect(names({ uid: ['1000', '0', '77'] })).toEqual(['root', 'pi'])
  expect(names({ username: ['daemon'] })).toEqual(['daemon'])
})

test('answers include_remote = 1 with the local accounts and a warning', () => {
  const { rows, warnings } = readTable(users, { device, where: { include_remote: ['1'] } })
  expect(rows.map((row) => row['include_remote'])).toEqual([1, 1, 1, 1, 1])
  expect(warnings).toEqual(['include_remote = 1: only local accounts (/etc/passwd) can be read'])
})
