import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Device } from '../sources/device.ts'
import { fixtureDevice, readTable } from '../../test/support/read-table.ts'
import { osVersion } from './os_version.ts'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'os-version-'))
  mkdirSync(join(root, 'etc'))
})
afterEach(() => rmSync(root, { recursive: true }))

const read = (files: Record<string, string>) => {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(root, 'etc', name), text)
  return readTable(osVersion, { device: new Device(root) }).rows
}

test('names Raspberry Pi OS of 32 bit raspbian', () => {
  expect(readTable(osVersion, { device: fixtureDevice('rpi4-raspbian') }).rows).toEqual([
    {
      name: 'Raspbian GNU/Linux',
      version: '11 (bullseye)',
      major: 11,
      minor: 0,
      patch: 0,
      build: null,
      platform: 'raspbian',
      platform_like: 'debian',
      codename: 'bullseye',
      arch: 'armv7l',
      pid_with_namespace: 0,
    },
  ])
})

test('reads quoted values, three numbers and a code name of the distribution’s own', () => {
  const text = `NAME='Yocto "plant"'\nVERSION_ID="4.0.12"\nID=poky\nBUILD_ID=20260303\nPOKY_CODENAME="kirk\\"stone"\n`
  expect(read({ 'os-release': text })[0]).toMatchObject({
    name: 'Yocto "plant"',
    major: 4,
    minor: 0,
    patch: 12,
    build: '20260303',
    platform: 'poky',
    codename: 'kirk"stone',
  })
})

test('gives one row of unknowns without any release file', () => {
  expect(read({})[0]).toMatchObject({ name: 'Unknown', version: null, major: 0, platform: 'posix' })
})

test('lets redhat-release overrule, as osquery does', () => {
  const rows = read({
    'os-release': 'NAME=x\nID=x\n',
    'redhat-release': 'Red Hat Enterprise Linux release 8.6 (Ootpa)\n',
  })
  expect(rows[0]).toMatchObject({
    name: 'Red Hat Enterprise Linux',
    version: 'Red Hat Enterprise Linux release 8.6 (Ootpa)',
    major: 8,
    minor: 6,
    patch: 0,
    platform: 'rhel',
    platform_like: 'rhel',
    build: '',
  })
})
