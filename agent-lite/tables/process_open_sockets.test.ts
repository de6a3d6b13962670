import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { fixtureDevice, readTable, type TestRow } from '../../test/support/read-table.ts'
import { Device } from '../sources/device.ts'
import { listeningPorts } from './listening_ports.ts'
import { processOpenSockets } from './process_open_sockets.ts'

const lab = fixtureDevice('lab')
const namespace = '4026532245'
const scratch: string[] = []
afterEach(() => {
  for (const folder of scratch.splice(0)) rmSync(folder, { recursive: true })
})

/** The captured processes, where a test may take files away. */
function copyOfLab(): Device {
  const root = mkdtempSync(join(tmpdir(), 'sockets-'))
  scratch.push(root)
  cpSync(join(lab.root, 'proc'), join(root, 'proc'), { recursive: true, verbatimSymlinks: true })
  return new Device(root)
}

const inet = (row: TestRow) =>
  `${row.pid}/${row.fd} ${row.family}/${row.protocol} ${row.local_address}:${row.local_port} ${row.remote_address}:${row.remote_port} ${row.state}`

test('lists IP sockets as ss does, in the families, protocols and states of osquery', () => {
  const { rows, warnings } = readTable(processOpenSockets, { device: lab })
  expect(warnings).toEqual([])
  expect(rows.filter((row) => row.family === 2 || row.family === 10).map(inet)).toEqual([
    '7397/3 2/6 0.0.0.0:502 0.0.0.0:0 LISTEN',
    '-1/-1 2/6 127.0.0.1:43786 127.0.0.1:502 FIN_WAIT2',
    '7397/13 2/6 127.0.0.1:50354 127.0.0.1:8080 ESTABLISHED',
    '-1/-1 2/6 127.0.0.1:502 127.0.0.1:43786 CLOSE_WAIT',
    '7397/4 10/6 :::8080 :::0 LISTEN',
    '-1/-1 10/6 ::ffff:127.0.0.1:8080 ::ffff:127.0.0.1:50354 ESTABLISHED',
    '7397/5 2/17 0.0.0.0:5353 0.0.0.0:0 ',
    '7397/6 10/17 :::34964 :::0 ',
    '7397/9 2/255 0.0.0.0:1 0.0.0.0:0 ',
  ])
  expect(new Set(rows.map((row) => row.net_namespace))).toEqual(new Set([namespace]))
})

test('lists unix sockets with their path and packet sockets with their protocol', () => {
  const { rows } = readTable(processOpenSockets, { device: lab })
  const others = rows.filter((row) => row.family === 1 || row.family === 17)
  expect(others.map(({ fd, family, protocol, path, state }) => [fd, family, protocol, path, state])).toEqual([
    [11, 1, 0, '', ''],
    [12, 1, 0, '', ''],
    [7, 1, 0, '/opt/plant/plant.sock', ''],
    [8, 1, 0, '@plant-abstract', ''],
    [10, 17, 3, '', 'NONE'],
  ])
  expect(others[4]).toMatchObject({ pid: 7397, socket: 13972, local_address: '', local_port: 0, remote_port: 0 })
})

test('reads only the asked process and gives it the sockets that it shares with others', () => {
  const device = copyOfLab()
  rmSync(device.real('/proc/7397/fd'), { recursive: true })
  const { rows } = readTable(processOpenSockets, { device, where: { pid: ['7393'] } })
  expect(new Set(rows.map((row) => row.pid))).toEqual(new Set([7393]))
  expect(rows).toHaveLength(11)
  expect(readTable(processOpenSockets, { device, where: { pid: ['7394'] } }).rows).toEqual([])
  expect(readTable(processOpenSockets, { device, where: { pid: ['-1'] } }).rows).toHaveLength(14)
})

test('a namespace is read through another of its processes when the first has ended', () => {
  const device = copyOfLab()
  rmSync(device.real('/proc/7393/net'), { recursive: true })
  expect(readTable(processOpenSockets, { device }).rows).toHaveLength(14)
})

test('does not walk descriptors when nobody asks who holds a socket', () => {
  const device = copyOfLab()
  for (const pid of ['7393', '7397']) rmSync(device.real(`/proc/${pid}/fd`), { recursive: true })
  for (const pid of ['7393', '7397']) symlinkSync('fd', device.real(`/proc/${pid}/fd`)) // reading it fails with ELOOP
  expect(readTable(processOpenSockets, { device, used: ['local_port'] }).warnings).toEqual([])
  const { rows, warnings } = readTable(processOpenSockets, { device })
  expect(warnings).toHaveLength(1)
  expect(rows).toHaveLength(14)
  expect(rows.every((row) => row.pid === -1)).toBe(true)
})

test('kernels without network namespaces, and malformed lines, are no failure', () => {
  const device = copyOfLab()
  for (const pid of ['2', '7393', '7394', '7395', '7397', '7398'])
    rmSync(device.real(`/proc/${pid}/ns`), { recursive: true, force: true })
  mkdirSync(device.real('/proc/10/net'), { recursive: true })
  writeFileSync(
    device.real('/proc/10/net/tcp'),
    'sl\n  0: 0100007F:0050 0000\nx\n  1: 7F:0050 00:0000 0A a b c d e 7\n',
  )
  writeFileSync(device.real('/proc/10/net/unix'), 'Num\n0: 00000002 00000000 0 1 1    77 /run/with space\n')
  expect(readTable(processOpenSockets, { device }).rows).toMatchObject([
    { pid: -1, socket: 77, path: '/run/with space', net_namespace: '0' },
  ])
})

test('listening ports are IP sockets without a peer, named unix sockets and packet sockets', () => {
  const { rows } = readTable(listeningPorts, { device: lab })
  const brief = rows.map(({ port, protocol, family, address, socket, path }) => [
    port,
    protocol,
    family,
    address,
    socket,
    path,
  ])
  expect(brief).toEqual([
    [502, 6, 2, '0.0.0.0', 13965, null],
    [8080, 6, 10, '::', 13966, null],
    [5353, 17, 2, '0.0.0.0', 13967, null],
    [34964, 17, 10, '::', 13968, null],
    [1, 255, 2, '0.0.0.0', 13971, null],
    [0, 0, 1, null, 0, '/opt/plant/plant.sock'],
    [0, 0, 1, null, 0, '@plant-abstract'],
    [0, 3, 17, '', 13972, null],
  ])
  expect(rows[0]).toMatchObject({ pid: 7397, fd: 3, net_namespace: namespace })
})
