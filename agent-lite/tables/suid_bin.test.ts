import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Device, SourceError } from '../sources/device.ts'
import { readTable } from '../../test/support/read-table.ts'
import { suidBin } from './suid_bin.ts'

const uid = process.getuid?.() ?? 0
const gid = process.getgid?.() ?? 0
let root: string

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'suid-'))
  for (const folder of ['etc', 'usr/bin', 'tmp/a/b']) mkdirSync(join(root, folder), { recursive: true })
})
afterEach(() => rmSync(root, { recursive: true }))

function program(path: string, mode: number) {
  writeFileSync(join(root, path), '')
  chmodSync(join(root, path), mode)
}

test('finds setuid and setgid files at any depth, through links to files and to the folder itself', () => {
  writeFileSync(join(root, 'etc/passwd'), `first:x:${uid}:${gid}::/:\nsecond:x:${uid}:${gid}::/:\n`)
  symlinkSync('usr/bin', join(root, 'bin'))
  program('usr/bin/su', 0o4755)
  program('usr/bin/ls', 0o755)
  program('tmp/a/b/odd', 0o6755)
  program('tmp/wall', 0o2755)
  symlinkSync('su', join(root, 'usr/bin/link'))
  symlinkSync('/usr/bin/none', join(root, 'usr/bin/dangling'))
  symlinkSync('..', join(root, 'tmp/a/b/loop'))
  chmodSync(join(root, 'tmp/a'), 0o2755)

  const { rows, warnings } = readTable(suidBin, { device: new Device(root) })
  expect(warnings).toEqual([])
  expect(rows.map(({ path, permissions }) => `${String(permissions)} ${String(path)}`)).toEqual([
    'S /bin/link',
    'S /bin/su',
    'S /usr/bin/link',
    'S /usr/bin/su',
    'G /tmp/wall',
    'SG /tmp/a/b/odd',
  ])
  expect(rows[0]).toMatchObject({ username: 'first', groupname: String(gid) })
})

test('warns of a folder it may not read and goes on', () => {
  program('usr/bin/su', 0o4755)
  const device = new Device(root)
  const names = device.names.bind(device)
  device.names = (path) => {
    if (path === '/tmp/a') throw new SourceError(path, 'EACCES', undefined)
    return names(path)
  }
  const { rows, warnings } = readTable(suidBin, { device })
  expect(rows.map((row) => row['path'])).toEqual(['/usr/bin/su'])
  expect(warnings).toEqual(['cannot read /tmp/a: permission denied (root may be allowed to)'])
})
