import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openFolder } from './disk.ts'
import { Outbox } from './outbox.ts'

let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tidegate-outbox-'))
})

afterEach(() => rmSync(folder, { recursive: true, force: true }))

test('more files than stay open at once are written and read', async () => {
  const disk = await openFolder(folder)
  for (let index = 0; index < 20; index++) await disk.write(`${index}`, 0, Buffer.from(`file ${index}`))
  for (let index = 0; index < 20; index++) expect(String(await disk.readAt(`${index}`, 0, 100))).toBe(`file ${index}`)
  expect((await disk.list()).length).toBe(20)
  await disk.close()
})

test('on a real folder records survive a restart, in files that only their owner may read', async () => {
  const options = { maxBytes: 8 * 1_048_576, log: pino({ level: 'silent' }) }
  const path = join(folder, 'outbox')
  let outbox = await Outbox.open(path, options)
  await outbox.add({ kind: 'status', message: 'started' }, { urgent: true }).stored
  const { epoch } = outbox
  await outbox.close()
  outbox = await Outbox.open(path, options)
  expect(outbox.epoch).toBe(epoch)
  expect((await outbox.lease(1000))?.records).toEqual([{ seq: 1, kind: 'status', message: 'started' }])
  await outbox.close()
  expect(statSync(path).mode & 0o777).toBe(0o700)
  expect(statSync(join(path, `0000000000000000-high-${epoch}.log`)).mode & 0o777).toBe(0o600)
})

test('a folder that cannot be used is an error that names it', async () => {
  const options = { maxBytes: 8 * 1_048_576, log: pino({ level: 'silent' }) }
  await expect(Outbox.open('/dev/null/outbox', options)).rejects.toMatchObject({
    code: 'OUTBOX_UNUSABLE',
    exit: 'storage',
    message: expect.stringContaining('/dev/null/outbox') as string,
  })
})
