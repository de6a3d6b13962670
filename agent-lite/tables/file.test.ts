import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readTable } from '../../test/support/read-table.ts'
import { Device } from '../sources/device.ts'
import { file } from './file.ts'

let device: Device
beforeAll(() => {
  device = new Device(fs.mkdtempSync(join(tmpdir(), 'file-')))
  const put = (path: string, text = '') => {
    fs.mkdirSync(device.real(path.slice(0, path.lastIndexOf('/'))), { recursive: true })
    fs.writeFileSync(device.real(path), text)
  }
  put('/etc/hosts', 'seven b')
  put('/etc/.hidden')
  put('/etc/host_x')
  put('/etc/hostname')
  put('/etc/app/conf.d/one.conf')
  put('/etc/app/conf.d/.two.conf')
  put('/etc/app/main.conf')
  put('/var/odd 100%/[a]{b}*?')
  fs.symlinkSync('hosts', device.real('/etc/link'))
  fs.symlinkSync('nowhere', device.real('/etc/broken'))
  fs.symlinkSync('circle', device.real('/etc/circle'))
  fs.symlinkSync('../app', device.real('/etc/app/loop'))
  fs.chmodSync(device.real('/etc/hosts'), 0o4640)
  fs.utimesSync(device.real('/etc/hosts'), 1_700_000_000.75, new Date(-500))
})
afterAll(() => {
  fs.rmSync(device.root, { recursive: true })
})

type Where = NonNullable<NonNullable<Parameters<typeof readTable>[1]>['where']>

const find = (where: Where) => readTable(file, { device, where })
const paths = (where: Where) => find(where).rows.map((row) => row.path)
const like = (value: string) => [{ operator: 'LIKE' as const, value }]

test('gives every attribute of a file', () => {
  const { rows, warnings } = find({ path: ['/etc/hosts'] })
  const stats = fs.statSync(device.real('/etc/hosts'), { bigint: true })
  expect(rows).toEqual([
    {
      ...{ path: '/etc/hosts', directory: '/etc', filename: 'hosts', inode: stats.ino, uid: stats.uid, gid: stats.gid },
      ...{ mode: '4640', device: 0n, size: 7n, block_size: Number(stats.blksize) },
      ...{ atime: 1_700_000_000n, mtime: -1n, ctime: stats.ctimeNs / 1_000_000_000n, btime: 0 },
      ...{ hard_links: 1, symlink: 0, type: 'regular', symlink_target_path: null, pid_with_namespace: 0 },
    },
  ])
  expect(warnings).toEqual([])
})

test('a link shows what it leads to, and says so when that is nothing or itself', () => {
  const { rows } = find({ path: ['/etc/link', '/etc/broken', '/etc/circle'] })
  expect(rows.map((row) => [row.symlink, row.type, row.size, row.symlink_target_path])).toEqual([
    [1, 'regular', 7n, 'hosts'],
    [1, 'unknown', 7n, 'nowhere'],
    [1, 'error', 6n, 'circle'],
  ])
})

test('names the types of device nodes, FIFOs and folders', () => {
  execFileSync('mkfifo', [device.real('/var/fifo')])
  expect(find({ path: ['/var/fifo', '/var'] }).rows.map((row) => row.type)).toEqual(['fifo', 'directory'])
  const [nothing] = readTable(file, { where: { path: ['/dev/null'] } }).rows
  expect(nothing).toMatchObject({ type: 'character', device: fs.statSync('/dev/null', { bigint: true }).rdev })
})

test('keeps the asked text of a path, so that SQLite finds it equal', () => {
  const odd = ['/etc/', '/etc//hosts', '/etc/../etc/hosts', '/']
  expect(find({ path: odd }).rows.map(({ path, directory, filename }) => [path, directory, filename])).toEqual([
    ['/etc/', '/etc', '.'],
    ['/etc//hosts', '/etc', 'hosts'],
    ['/etc/../etc/hosts', '/etc/../etc', 'hosts'],
    ['/', '', '/'],
  ])
})

test('has no row for what does not exist', () => {
  expect(find({ path: ['/etc/none', '/etc/hosts/none', '', '/etc/hosts'] })).toMatchObject({
    rows: [{ path: '/etc/hosts' }],
    warnings: [],
  })
})

test('a path that no file system can hold costs a warning, not the query', () => {
  const { rows, warnings } = find({ path: ['/etc/a\0b', '/etc/hosts'] })
  expect(rows).toHaveLength(1)
  expect(warnings).toHaveLength(1)
})

test('% matches within one folder, leaves hidden files out and marks folders', () => {
  expect(paths({ path: like('/etc/%') })).toEqual([
    ...['/etc/app/', '/etc/broken', '/etc/circle', '/etc/host_x', '/etc/hostname', '/etc/hosts', '/etc/link'],
  ])
  expect(paths({ path: like('/etc/.%') })).toEqual(['/etc/.hidden'])
  expect(paths({ path: like('/etc/%st%s') })).toEqual(['/etc/hosts'])
  expect(paths({ path: like('/%/host%') })).toEqual(['/etc/host_x', '/etc/hostname', '/etc/hosts'])
  expect(paths({ path: like('/etc/%/main.conf') })).toEqual(['/etc/app/main.conf'])
  expect(find({ path: like('/e%') }).rows).toMatchObject([{ path: '/etc/', directory: '/etc', filename: '.' }])
})

test('takes underscores and the signs of shell patterns literally', () => {
  expect(paths({ path: like('/etc/host_x') })).toEqual(['/etc/host_x'])
  expect(paths({ path: like('/etc/host_') })).toEqual([])
  expect(paths({ path: like('/etc/h?sts') })).toEqual([])
  expect(paths({ path: like('/var/odd%/[a]{b}*?') })).toEqual(['/var/odd 100%/[a]{b}*?'])
})

test('a trailing %% reaches everything below and is not caught in a loop of links', () => {
  expect(paths({ path: like('/etc/app/%%') })).toEqual([
    ...['/etc/app/conf.d/', '/etc/app/conf.d/one.conf'],
    ...['/etc/app/loop/', '/etc/app/loop/conf.d/', '/etc/app/loop/loop/', '/etc/app/loop/main.conf'],
    '/etc/app/main.conf',
  ])
  expect(paths({ path: like('/etc/app/%%/one.conf') })).toEqual(['/etc/app/conf.d/one.conf'])
})

test('goes down 63 levels and no further', () => {
  const deep = `/deep${'/d'.repeat(70)}`
  fs.mkdirSync(device.real(deep), { recursive: true })
  const found = paths({ path: like('/deep/%%') })
  expect(found).toHaveLength(63)
})

test('stays fast on patterns made to backtrack', () => {
  fs.writeFileSync(device.real(`/var/${'a'.repeat(200)}`), '')
  expect(paths({ path: like(`/var/${'%a'.repeat(500)}%b`) })).toEqual([])
})

test('lists the entries of a directory, hidden ones too, with the directory as it was asked', () => {
  const rows = (directory: string) =>
    find({ directory: [directory] }).rows.map((row) => [row.path, row.directory, row.filename])
  expect(rows('/etc/app/conf.d')).toEqual([
    ['/etc/app/conf.d/.two.conf', '/etc/app/conf.d', '.two.conf'],
    ['/etc/app/conf.d/one.conf', '/etc/app/conf.d', 'one.conf'],
  ])
  expect(rows('/etc/app/conf.d/')[1]).toEqual(['/etc/app/conf.d/one.conf', '/etc/app/conf.d/', 'one.conf'])
  expect(rows('/etc/hosts')).toEqual([])
  expect(find({ directory: like('/etc/%') }).rows.map((row) => [row.path, row.directory])).toContainEqual([
    '/etc/app/main.conf',
    '/etc/app/',
  ])
})

test('names that are not UTF-8 are missed aloud', () => {
  fs.mkdirSync(device.real('/latin'))
  fs.writeFileSync(Buffer.concat([Buffer.from(`${device.real('/latin')}/gr`), Buffer.from([0xfc, 0xdf])]), '')
  for (const where of [{ directory: ['/latin'] }, { path: like('/latin/%') }])
    expect(find(where)).toEqual({ rows: [], warnings: [expect.stringContaining('not UTF-8')] })
})

test('a file that both conditions name is one row', () => {
  expect(paths({ path: ['/etc/hosts'], directory: ['/etc'] }).filter((path) => path === '/etc/hosts')).toHaveLength(1)
  expect(paths({ path: [...like('/etc/host%'), { operator: '=', value: '/etc/hosts' }] })).toEqual([
    ...['/etc/hosts', '/etc/host_x', '/etc/hostname'],
  ])
})

test('says so when a condition can find nothing', () => {
  expect(find({ path: like('etc/%') })).toEqual({
    rows: [],
    warnings: [expect.stringContaining("LIKE 'etc/%' finds no files")],
  })
  expect(find({ path: [{ operator: 'GLOB', value: '/etc/*' }] }).warnings).toHaveLength(1)
})
