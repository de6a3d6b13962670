import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { publishFolder, readableFolder, readBounded, recoverFolder, replaceFile, withLock, writeOut } from './files.ts'

const nowMs = Date.parse('2026-11-24T12:00:00Z')
let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tidegate-files-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const modeOf = (path: string) => statSync(path).mode & 0o777

describe('publishFolder', () => {
  test('makes private keys readable by their owner alone, in folders that only the owner enters', async () => {
    const at = join(folder, 'a')
    await publishFolder(at, { 'cert.pem': { data: 'c' }, 'deep/key.pem': { data: 'k', secret: true } }, 'refuse', nowMs)
    expect([modeOf(at), modeOf(join(at, 'deep')), modeOf(join(at, 'deep/key.pem'))]).toEqual([0o700, 0o700, 0o600])
    expect(modeOf(join(at, 'cert.pem')) & 0o022).toBe(0)
  })

  test('refuses to replace a folder, and leaves it and its surroundings as they were', async () => {
    const at = join(folder, 'a')
    await publishFolder(at, { 'key.pem': { data: 'first', secret: true } }, 'refuse', nowMs)
    await expect(publishFolder(at, { 'key.pem': { data: 'second' } }, 'refuse', nowMs)).rejects.toMatchObject({
      code: 'ALREADY_EXISTS',
    })
    expect(readFileSync(join(at, 'key.pem'), 'utf8')).toBe('first')
    expect(readdirSync(folder)).toEqual(['a'])
  })

  test('leaves nothing behind when a file cannot be written', async () => {
    const at = join(folder, 'a')
    const files = { 'cert.pem': { data: 'c' }, ['x'.repeat(300)]: { data: 'name too long' } }
    await expect(publishFolder(at, files, 'refuse', nowMs)).rejects.toThrow()
    expect(readdirSync(folder)).toEqual([])
  })

  test('keeps the old folder in place when its replacement cannot be written', async () => {
    const at = join(folder, 'a')
    await publishFolder(at, { 'key.pem': { data: 'first' } }, 'refuse', nowMs)
    await expect(publishFolder(at, { ['x'.repeat(300)]: { data: '' } }, 'discard-old', nowMs)).rejects.toThrow()
    expect(readFileSync(join(at, 'key.pem'), 'utf8')).toBe('first')
    expect(readdirSync(folder)).toEqual(['a'])
  })

  test('keeps the replaced folder of a CA beside the new one, under the time it was replaced', async () => {
    const at = join(folder, 'root')
    await publishFolder(at, { 'ca.key': { data: 'first' } }, 'refuse', nowMs)
    await publishFolder(at, { 'ca.key': { data: 'second' } }, 'keep-old', nowMs)
    const [kept] = readdirSync(folder).filter((name) => name !== 'root')
    expect(kept).toMatch(/^root\.replaced-20261124T120000Z-/)
    expect(readFileSync(join(folder, kept as string, 'ca.key'), 'utf8')).toBe('first')
    expect(readFileSync(join(at, 'ca.key'), 'utf8')).toBe('second')
  })
})

describe('after a power cut between the two renames of a replacement', () => {
  test('the old folder is still read, and goes back to its place', async () => {
    const at = join(folder, 'gateway')
    await publishFolder(at, { 'key.pem': { data: 'first' } }, 'refuse', nowMs)
    renameSync(at, join(folder, '.gateway.old'))
    mkdirSync(join(folder, '.gateway.new'))
    expect(readableFolder(at)).toBe(join(folder, '.gateway.old'))
    await recoverFolder(at, folder)
    expect(readFileSync(join(at, 'key.pem'), 'utf8')).toBe('first')
    expect(readdirSync(folder)).toEqual(['gateway'])
  })

  test('the next replacement succeeds and clears away what was left', async () => {
    const at = join(folder, 'gateway')
    await publishFolder(at, { 'key.pem': { data: 'first' } }, 'refuse', nowMs)
    renameSync(at, join(folder, '.gateway.old'))
    await publishFolder(at, { 'key.pem': { data: 'second' } }, 'discard-old', nowMs)
    expect(readFileSync(join(at, 'key.pem'), 'utf8')).toBe('second')
    expect(readdirSync(folder)).toEqual(['gateway'])
  })
})

test('a file that exists is only written over with force', async () => {
  const path = join(folder, 'kim.p12')
  await writeOut(path, { data: 'first', secret: true })
  await expect(writeOut(path, { data: 'second' })).rejects.toMatchObject({ code: 'ALREADY_EXISTS' })
  expect(readFileSync(path, 'utf8')).toBe('first')
  await writeOut(path, { data: 'second', secret: true }, { force: true })
  expect(readFileSync(path, 'utf8')).toBe('second')
  expect(modeOf(path)).toBe(0o600)
})

test('a file that cannot be replaced stays, without a temporary one beside it', async () => {
  mkdirSync(join(folder, 'index.json'))
  await expect(replaceFile(join(folder, 'index.json'), { data: '{}' })).rejects.toThrow()
  expect(readdirSync(folder)).toEqual(['index.json'])
})

test('a missing file and a file that is too large are refused by name', async () => {
  await expect(readBounded(join(folder, 'none'))).rejects.toMatchObject({ code: 'FILE_MISSING' })
  writeFileSync(join(folder, 'big'), Buffer.alloc(16 * 1024 * 1024 + 1))
  await expect(readBounded(join(folder, 'big'))).rejects.toMatchObject({ code: 'FILE_TOO_LARGE' })
})

describe('withLock', () => {
  test('lets one piece of work at a time change a folder, in the order asked for', async () => {
    const events: string[] = []
    await Promise.all(
      ['a', 'b', 'c'].map((name) =>
        withLock(folder, async () => {
          events.push(`${name} begins`)
          await new Promise(setImmediate)
          events.push(`${name} ends`)
        }),
      ),
    )
    expect(events).toEqual(['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends'])
    expect(existsSync(join(folder, '.lock'))).toBe(false)
  })

  test('goes on after work that failed', async () => {
    await expect(withLock(folder, () => Promise.reject(new Error('no')))).rejects.toThrow('no')
    await expect(withLock(folder, () => Promise.resolve(1))).resolves.toBe(1)
  })

  test('takes over the lock of an earlier boot, whose process ids mean nothing now', async () => {
    writeFileSync(join(folder, '.lock'), `${process.pid} 00000000-0000-0000-0000-000000000000`)
    await expect(withLock(folder, () => Promise.resolve('done'))).resolves.toBe('done')
    expect(readdirSync(folder)).toEqual([])
  })
})
