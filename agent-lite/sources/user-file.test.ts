import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Device } from './device.ts'
import { maxUserFileBytes, readUserFile } from './user-file.ts'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'user-file-'))
  mkdirSync(join(root, 'home/pi/.ssh'), { recursive: true })
})
afterEach(() => rmSync(root, { recursive: true }))

const me = process.getuid?.() ?? 0
const file = () => join(root, 'home/pi/.ssh/known_hosts')
const read = (uid = me) => readUserFile(new Device(root), { uid, directory: '/home/pi/' }, '.ssh/known_hosts')

test('reads a plain file whoever owns it, and has nothing where there is none', () => {
  expect(read()).toBeUndefined()
  writeFileSync(file(), 'a\nb\n')
  expect(read(me + 1)).toBe('a\nb\n')
  expect(readUserFile(new Device(root), { uid: me, directory: '/nonexistent' }, 'x')).toBeUndefined()
})

test("follows a link to the user's own file but not to anyone else's", () => {
  writeFileSync(join(root, 'secret'), 'root:$y$')
  symlinkSync(join(root, 'secret'), file())
  expect(read()).toBe('root:$y$')
  expect(() => read(me + 1)).toThrow(
    `cannot read /home/pi/.ssh/known_hosts: it is a link to a file that user ${me + 1} does not own`,
  )
})

test('sees a link in the folder above as well', () => {
  mkdirSync(join(root, 'etc'))
  writeFileSync(join(root, 'etc/known_hosts'), 'x')
  rmSync(join(root, 'home/pi/.ssh'), { recursive: true })
  symlinkSync(join(root, 'etc'), join(root, 'home/pi/.ssh'))
  expect(() => read(me + 1)).toThrow('does not own')
})

test('is not held up by a FIFO, nor by a device behind a link', () => {
  execFileSync('sh', ['-c', 'mkfifo "$0"', file()])
  expect(() => read()).toThrow('cannot read /home/pi/.ssh/known_hosts: it is not a regular file')
  rmSync(file())
  symlinkSync('/dev/zero', file())
  expect(() => read()).toThrow('it is not a regular file')
})

test('refuses a file that is too large to hold', () => {
  writeFileSync(file(), '')
  truncateSync(file(), maxUserFileBytes + 1)
  expect(() => read()).toThrow(`it is larger than ${maxUserFileBytes} bytes`)
})
