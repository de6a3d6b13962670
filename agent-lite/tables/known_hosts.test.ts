import { expect, test } from 'vitest'
import { fixtureDevice, readTable } from '../../test/support/read-table.ts'
import { knownHosts } from './known_hosts.ts'

test('gives the lines of the users asked for, without comments', () => {
  const { rows } = readTable(knownHosts, { device: fixtureDevice('rpi4-raspbian'), where: { uid: ['0', '1000'] } })
  expect(rows).toEqual([
    {
      uid: 1000,
      key: '|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg= ssh-rsa AAAAB3NzaC1yc2E=',
      key_file: '/home/pi/.ssh/known_hosts',
    },
    {
      uid: 1000,
      key: '@cert-authority *.plant.example ssh-ed25519 AAAAC3NzaC1lZDI1NTE5',
      key_file: '/home/pi/.ssh/known_hosts',
    },
  ])
})
