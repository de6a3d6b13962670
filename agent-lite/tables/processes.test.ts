import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { fixtureDevice, readTable } from '../../test/support/read-table.ts'
import { Device } from '../sources/device.ts'
import { processes } from './processes.ts'

const scratch: string[] = []
afterAll(() => {
  for (const folder of scratch) rmSync(folder, { recursive: true })
})

/** The captured processes, with the links that the repository keeps as a list; a test may change the copy. */
function copyOfLab(): Device {
  const { root: source } = fixtureDevice('lab')
  const root = mkdtempSync(join(tmpdir(), 'processes-'))
  scratch.push(root)
  const isNeeded = (path: string) => !/\/(fd|net|sys|expected)$/.test(path)
  cpSync(source, root, { recursive: true, verbatimSymlinks: true, filter: isNeeded })
  for (const line of readFileSync(join(source, 'process-links'), 'utf8').trimEnd().split('\n')) {
    const [, path = '', target = ''] = /^(\S+) (.*)$/.exec(line) ?? []
    symlinkSync(target, join(root, path))
  }
  return new Device(root)
}

const lab = copyOfLab()
const oneProcess = (pid: string) => readTable(processes, { device: lab, where: { pid: [pid] } }).rows[0]

test('reads every column of a process as ps shows it', () => {
  expect(oneProcess('7393')).toEqual({
    pid: 7393,
    name: 'plantd',
    path: '/opt/plant/bin/plantd',
    cmdline: '/opt/plant/bin/plantd --net two  words',
    state: 'S',
    cwd: '/opt/plant',
    root: '/',
    uid: 1000,
    gid: 1000,
    euid: 1000,
    egid: 1000,
    suid: 1000,
    sgid: 1000,
    on_disk: 1,
    wired_size: 0,
    resident_size: 700 * 1024,
    total_size: 1004 * 1024,
    user_time: 0,
    system_time: 0,
    disk_bytes_read: 0,
    disk_bytes_written: 4096,
    start_time: Date.UTC(2026, 10, 24, 22, 44, 13) / 1000,
    parent: 1,
    pgroup: 7374,
    threads: 1,
    nice: 0,
    cgroup_path: '/plant.slice',
  })
})

test('keeps its place in stat when a name holds a parenthesis', () => {
  expect(oneProcess('7397')).toMatchObject({ name: 'plant) R 1 (w', state: 'S', parent: 7393, nice: 0 })
})

test('a zombie and a kernel thread have no path, no arguments and no memory', () => {
  const nothing = { path: '', on_disk: -1, cmdline: '', resident_size: null, total_size: null }
  expect(oneProcess('7398')).toMatchObject({ ...nothing, state: 'Z', cwd: '' })
  expect(oneProcess('2')).toMatchObject({ ...nothing, name: 'kthreadd', start_time: 1795559066 })
})

test('a process whose file was deleted keeps the path without the mark of the kernel', () => {
  expect(oneProcess('7394')).toMatchObject({ path: '/opt/plant/bin/old', on_disk: 0, nice: 7 })
})

test('a file whose own name ends in "(deleted)" is told by its inode', () => {
  expect(oneProcess('7395')).toMatchObject({ path: '/opt/plant/bin/real', on_disk: 0 })

  const device = copyOfLab()
  const { ino } = statSync(device.real('/opt/plant/bin/real (deleted)'))
  const mapping = `00400000-00401000 r--p 00000000 fe:00 ${ino}       /opt/plant/bin/real (deleted)\n`
  writeFileSync(device.real('/proc/7395/maps'), mapping)
  const { rows } = readTable(processes, { device, where: { pid: ['7395'] } })
  expect(rows[0]).toMatchObject({ path: '/opt/plant/bin/real (deleted)', on_disk: 1 })
})

test('lists all processes by ascending id, and only those asked for when asked', () => {
  const ids = (where?: Record<string, string[]>) =>
    readTable(processes, { device: lab, used: ['pid'], ...(where && { where }) }).rows.map((row) => row.pid)
  expect(ids()).toEqual([2, 7393, 7394, 7395, 7397, 7398])
  expect(ids({ pid: ['7397', '2', '2'] })).toEqual([2, 7397])
  expect(ids({ pid: ['1', '007393', 'self', '../etc', '7393/..', '', '-1'] })).toEqual([])
})

test('reads only the files behind the columns that are used', () => {
  const device = copyOfLab()
  for (const file of ['status', 'io', 'cmdline', 'cgroup']) {
    rmSync(device.real(`/proc/7393/${file}`))
    mkdirSync(device.real(`/proc/7393/${file}`)) // reading it fails with EISDIR
  }
  const where = { pid: ['7393'] }
  expect(readTable(processes, { device, where, used: ['pid', 'parent'] })).toMatchObject({
    rows: [{ pid: 7393, parent: 1 }],
    warnings: [],
  })
  expect(readTable(processes, { device, where, used: ['cgroup_path'] }).warnings).toHaveLength(1)
})

test('leaves out a process that ends while it is read', () => {
  const device = copyOfLab()
  rmSync(device.real('/proc/7393/stat'))
  rmSync(device.real('/proc/7394/status'))
  const { rows, warnings } = readTable(processes, { device })
  expect(rows.map((row) => row.pid)).toEqual([2, 7395, 7397, 7398])
  expect(warnings).toEqual([])
})

test('warns once and leaves columns NULL where files are refused', () => {
  const device = copyOfLab()
  for (const pid of ['7393', '7394']) {
    rmSync(device.real(`/proc/${pid}/io`))
    symlinkSync('io', device.real(`/proc/${pid}/io`)) // reading it fails with ELOOP
  }
  const { rows, warnings } = readTable(processes, { device, where: { pid: ['7393', '7394'] } })
  expect(rows.map((row) => [row.disk_bytes_read, row.disk_bytes_written])).toEqual([
    [null, null],
    [null, null],
  ])
  expect(rows[0]).toMatchObject({ name: 'plantd', on_disk: 1 })
  expect(warnings).toHaveLength(1)
  expect(warnings[0]).toContain('/proc/7393/io')
})

test('the start is -1 when the kernel does not say when it booted', () => {
  const device = copyOfLab()
  rmSync(device.real('/proc/stat'))
  expect(readTable(processes, { device, where: { pid: ['2'] } }).rows[0]).toMatchObject({ start_time: -1 })
})
