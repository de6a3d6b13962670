import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readTable } from '../../test/support/read-table.ts'
import { Device } from '../sources/device.ts'
import { fileDigests } from '../sources/digests.ts'
import { hash } from './hash.ts'

const empty = { md5: 'd41d8cd98f00b204e9800998ecf8427e', sha1: 'da39a3ee5e6b4b0d3255bfef95601890afd80709' }

let device: Device
beforeAll(() => {
  device = new Device(fs.mkdtempSync(join(tmpdir(), 'hash-')))
  fs.mkdirSync(device.real('/data/sub'), { recursive: true })
  fs.writeFileSync(device.real('/data/abc'), 'abc')
  fs.writeFileSync(device.real('/data/empty'), '')
  fs.writeFileSync(device.real('/data/big'), Buffer.alloc(1_000_003, 'x'))
  fs.symlinkSync('abc', device.real('/data/link'))
  execFileSync('mkfifo', [device.real('/data/fifo')])
})
afterAll(() => {
  fs.rmSync(device.root, { recursive: true })
})

test('computes the digests of RFC 1321 and FIPS 180, also of an empty file and through a link', () => {
  const { rows, warnings } = readTable(hash, { device, where: { path: ['/data/abc', '/data/link', '/data/empty'] } })
  const abc = {
    md5: '900150983cd24fb0d6963f7d28e17f72',
    sha1: 'a9993e364706816aba3e25717850c26c9cd0d89d',
    sha256: 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
  }
  expect(rows).toMatchObject([
    { path: '/data/abc', directory: '/data', ...abc },
    { path: '/data/link', directory: '/data', ...abc },
    empty,
  ])
  expect(warnings).toEqual([])
})

test('computes only the digests that are used', () => {
  const where = { path: ['/data/abc'] }
  expect(readTable(hash, { device, where, used: ['path'] }).rows[0]).toEqual({
    ...{ path: '/data/abc', directory: '/data', pid_with_namespace: 0 },
  })
  const big = { path: ['/data/big'] }
  expect(Object.keys(readTable(hash, { device, where: big, used: ['sha1'] }).rows[0]!)).not.toContain('sha256')
})

test('hashes the regular files of a directory and neither folders nor FIFOs', () => {
  const { rows } = readTable(hash, { device, where: { directory: ['/data'] }, used: ['path'] })
  expect(rows.map((row) => row.path)).toEqual(['/data/abc', '/data/big', '/data/empty', '/data/link'])
  expect(readTable(hash, { device, where: { path: ['/data', '/data/fifo', '/none'] } })).toEqual({
    rows: [],
    warnings: [],
  })
})

test('reads a file again once it has changed', () => {
  const where = { path: ['/data/changing'] }
  const sha1 = () => readTable(hash, { device, where }).rows[0]?.sha1
  fs.writeFileSync(device.real('/data/changing'), 'abd')
  const before = sha1()
  fs.writeFileSync(device.real('/data/changing'), 'abc')
  expect(before).not.toBe(sha1())
  expect(sha1()).toBe('a9993e364706816aba3e25717850c26c9cd0d89d')
})

test('gives the query a chance to stop in the middle of a large file', () => {
  let pieces = 0
  const stopAtThird = () => {
    if (++pieces === 3) throw new Error('out of time')
  }
  fs.writeFileSync(device.real('/data/large'), Buffer.alloc(2 ** 20))
  expect(() => fileDigests(device, '/data/large', ['sha256'], stopAtThird)).toThrow('out of time')
  expect(fileDigests(device, '/data/large', ['sha256'], () => {})?.get('sha256')).toBe(
    '30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58',
  )
})

test('a file that cannot be read is a row without digests, and a warning', () => {
  const { rows, warnings } = readTable(hash, { where: { path: ['/proc/self/mem'] } })
  expect(rows).toEqual([{ path: '/proc/self/mem', directory: '/proc/self', pid_with_namespace: 0 }])
  expect(warnings).toEqual([expect.stringContaining('cannot read /proc/self/mem')])
})
