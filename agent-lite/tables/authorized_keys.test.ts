import { expect, test } from 'vitest'
import { fixtureDevice, readTable } from '../../test/support/read-table.ts'
import { authorizedKeys } from './authorized_keys.ts'

const device = fixtureDevice('rpi4-raspbian')

test('tells options, type, key and comment apart, quoted blanks and key types included', () => {
  const { rows } = readTable(authorizedKeys, { device, where: { uid: ['0'] } })
  expect(rows.map(({ options, algorithm, key, comment }) => [options, algorithm, key, comment])).toEqual([
    [null, 'ssh-ed25519', 'AAAAC3NzaC1lZDI1NTE5AAAAIKxD', 'service@plant.example'],
    ['from="10.0.0.0/8",command="/usr/bin/echo \\"ssh-rsa AAAA\\" x"', 'ssh-rsa', 'AAAAB3NzaC1yc2E=', 'two words'],
    [null, 'ecdsa-sha2-nistp256', 'AAAAE2VjZHNh', null],
    [null, 'sk-ssh-ed25519@openssh.com', 'AAAAGnNrLXNza', 'key on a token'],
  ])
  expect(rows[0]).toMatchObject({ uid: 0, key_file: '/root/.ssh/authorized_keys' })
})

test('has no rows for a user without the file or without an account', () => {
  expect(readTable(authorizedKeys, { device, where: { uid: ['1000', '77'] } })).toEqual({ rows: [], warnings: [] })
})
