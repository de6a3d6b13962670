// Readers against the tools of this machine: procps, iproute2 and coreutils. What may change between two looks is compared
// only where a look before and one after agree.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import * as net from 'node:net'
import { createSocket, type Socket } from 'node:dgram'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { arpCache } from '../../agent-lite/tables/arp_cache.ts'
import { file } from '../../agent-lite/tables/file.ts'
import { hash } from '../../agent-lite/tables/hash.ts'
import { interfaceAddresses } from '../../agent-lite/tables/interface_addresses.ts'
import { interfaceDetails } from '../../agent-lite/tables/interface_details.ts'
import { listeningPorts } from '../../agent-lite/tables/listening_ports.ts'
import { processOpenSockets } from '../../agent-lite/tables/process_open_sockets.ts'
import { processes } from '../../agent-lite/tables/processes.ts'
import { routes } from '../../agent-lite/tables/routes.ts'
import { ipv4Mask, ipv4Text, ipv6Mask, ipv6Text } from '../../agent-lite/sources/inet.ts'
import {
  addressesOf,
  flagsOf,
  routeOf,
  sorted,
  type IpLink,
  type IpNeighbour,
  type IpRoute,
} from '../support/ip-json.ts'
import { readTable, type TestRow } from '../support/read-table.ts'

const run = (command: string, ...args: string[]) =>
  execFileSync(command, args, { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C', TZ: 'UTC' } })
const ip = <T>(...args: string[]) => JSON.parse(run('ip', '-j', ...args)) as T[]
const lines = (text: string) => text.trimEnd().split('\n')

let folder: string
let sleeper: ChildProcess
const tcp = net.createServer()
const tcp6 = net.createServer()
const unix = net.createServer()
let udp: Socket
let client: net.Socket

beforeAll(async () => {
  folder = fs.mkdtempSync(join(tmpdir(), 'cross-check-'))
  sleeper = spawn('nice', ['-n', '5', 'sleep', '3600'], { cwd: '/usr', stdio: 'ignore' })
  await Promise.all([
    once(sleeper, 'spawn'),
    listen(tcp, { host: '127.0.0.1', port: 0 }),
    listen(tcp6, { host: '::', port: 0 }),
  ])
  await listen(unix, { path: join(folder, 'control.sock') })
  udp = createSocket('udp4')
  udp.bind(0, '127.0.0.1')
  await once(udp, 'listening')
  const accepted = once(tcp6, 'connection')
  client = net.connect(portOf(tcp6), '127.0.0.1')
  await Promise.all([once(client, 'connect'), accepted])
})

afterAll(() => {
  sleeper.kill()
  client.destroy()
  udp.close()
  for (const server of [tcp, tcp6, unix]) server.close()
  fs.rmSync(folder, { recursive: true })
})

async function listen(server: net.Server, options: net.ListenOptions): Promise<void> {
  server.on('connection', (socket) => socket.unref())
  server.listen(options)
  await once(server, 'listening')
}

const portOf = (server: net.Server) => (server.address() as net.AddressInfo).port

const psFields = ['pid', 'ppid', 'pgid', 'nlwp', 'ni', 'ruid', 'euid', 'suid', 'rgid', 'egid', 'sgid', 'vsz']

function psRows(): Map<string, string> {
  const rows = lines(run('ps', '-e', '-o', psFields.map((field) => `${field}=`).join(',')))
  // ps writes "-" for the nice level of real-time processes; the kernel says 0.
  const cells = rows.map((row) => row.trim().split(/\s+/))
  return new Map(cells.map((row) => [row[0]!, row.map((cell) => (cell === '-' ? '0' : cell)).join(' ')]))
}

test('processes agrees with ps on every process that lives through both', () => {
  const before = psRows()
  const { rows } = readTable(processes)
  const after = psRows()
  const table = new Map(rows.map((row) => [String(row.pid), inOrderOfPs(row)]))
  const stable = [...before].filter(([pid, row]) => after.get(pid) === row)
  expect(stable.length).toBeGreaterThan(3)
  expect(new Map(stable.map(([pid]) => [pid, table.get(pid)]))).toEqual(new Map(stable))
})

function inOrderOfPs(row: TestRow): string {
  const { pid, parent, pgroup, threads, nice, uid, euid, suid, gid, egid, sgid, total_size: bytes } = row
  const numbers = [pid, parent, pgroup, threads, nice, uid, euid, suid, gid, egid, sgid, Number(bytes ?? 0) / 1024]
  return numbers.map(String).join(' ')
}

test('processes agrees with ps on start, memory, arguments and folders of a process', () => {
  const pid = String(sleeper.pid)
  const [row] = readTable(processes, { where: { pid: [pid] } }).rows
  const ps = (field: string) => run('ps', '-o', `${field}=`, '-p', pid).trim()
  expect(row).toMatchObject({
    ...{ name: 'sleep', cmdline: ps('args'), state: ps('state'), nice: 5, cwd: '/usr', root: '/', on_disk: 1 },
    path: fs.readlinkSync(`/proc/${pid}/exe`),
    resident_size: Number(ps('rss')) * 1024,
  })
  const startedAt = Date.parse(`${ps('lstart')} UTC`) / 1000
  expect(Math.abs(Number(row!.start_time) - startedAt)).toBeLessThanOrEqual(1)
})

test('process_open_sockets agrees with ss on the IP sockets of a process', () => {
  const { rows } = readTable(processOpenSockets, { where: { pid: [String(process.pid)] } })
  const own = new RegExp(`pid=${process.pid},fd=(\\d+)`)
  const expected = lines(run('ss', '-Hanptu')).flatMap((line) => {
    const fd = own.exec(line)?.[1]
    const [kind, state, , , local = '', remote = ''] = line.split(/\s+/)
    return fd === undefined ? [] : [`${fd} ${kind} ${state} ${local} ${remote}`]
  })
  const found = rows.filter((row) => row.family !== 1).map(asSs)
  expect(found.sort()).toEqual(expected.sort())
  expect(found.length).toBeGreaterThanOrEqual(5)
})

const ssStates: Record<string, string> = { LISTEN: 'LISTEN', ESTABLISHED: 'ESTAB', '': 'UNCONN' }

function asSs(row: TestRow): string {
  const kind = row.protocol === 6 ? 'tcp' : 'udp'
  const end = (address: unknown, port: unknown) => {
    const text = address === '::' ? '*' : row.family === 10 ? `[${String(address)}]` : String(address)
    return `${text}:${port === 0 ? '*' : String(port)}`
  }
  const ends = `${end(row.local_address, row.local_port)} ${end(row.remote_address, row.remote_port)}`
  return `${String(row.fd)} ${kind} ${ssStates[String(row.state)]} ${ends}`
}

test('listening_ports finds the listeners of a process, and nothing that is connected', () => {
  const { rows } = readTable(listeningPorts)
  const own = rows.filter((row) => row.pid === process.pid && row.family !== 1)
  expect(sorted(own.map(({ port, protocol, family, address }) => ({ port, protocol, family, address })))).toEqual(
    sorted([
      { port: portOf(tcp), protocol: 6, family: 2, address: '127.0.0.1' },
      { port: portOf(tcp6), protocol: 6, family: 10, address: '::' },
      { port: udp.address().port, protocol: 17, family: 2, address: '127.0.0.1' },
    ]),
  )
  expect(rows).toContainEqual(
    expect.objectContaining({ pid: process.pid, family: 1, path: join(folder, 'control.sock') }),
  )
})

test('interface_addresses agrees with ip addr', () => {
  const expected = addressesOf(ip<IpLink>('addr')).map((row) => {
    const isIpv4 = !String(row.address).includes(':')
    const length = Number(row.prefixLength)
    const mask = isIpv4 ? ipv4Text(ipv4Mask(length)) : ipv6Text(ipv6Mask(length))
    return {
      interface: row.interface,
      address: row.address,
      mask,
      ...(row.broadcast !== null && { broadcast: row.broadcast }),
    }
  })
  const found = readTable(interfaceAddresses).rows.map((row) => ({
    ...{ interface: row.interface, address: row.address, mask: row.mask },
    ...(row.broadcast !== undefined && { broadcast: row.broadcast }),
  }))
  expect(sorted(found)).toEqual(sorted(expected))
})

test('interface_details agrees with ip link', () => {
  const found = readTable(interfaceDetails).rows.map(({ interface: name, mtu, flags, mac }) => ({
    name,
    mtu,
    flags,
    mac,
  }))
  const expected = ip<IpLink>('link').map((link) => ({
    ...{ name: link.ifname, mtu: link.mtu, flags: flagsOf(link), mac: link.address },
  }))
  expect(sorted(found)).toEqual(sorted(expected))
})

test('routes agrees with ip route on the main and local tables of both families', () => {
  const isNumbered = (route: IpRoute) => /^\d+$/.test(route.table ?? '')
  const all = (family: string) =>
    ip<IpRoute>(family, 'route', 'show', 'table', 'all').filter((route) => !isNumbered(route))
  const expected = [
    ...all('-4').map((route) => routeOf(route, false)),
    ...all('-6').map((route) => routeOf(route, true)),
  ]
  const found = readTable(routes).rows.map((row) =>
    Object.fromEntries(Object.entries(row).map(([column, value]) => [column, value ?? null])),
  )
  expect(sorted(found)).toEqual(sorted(expected))
})

test('arp_cache agrees with ip neigh on every neighbour that has answered', () => {
  const answered = () =>
    ip<IpNeighbour>('-4', 'neigh')
      .filter(
        (each) =>
          each.lladdr !== undefined && each.state.every((state) => state !== 'FAILED' && state !== 'INCOMPLETE'),
      )
      .map((each) => `${each.dst} ${each.lladdr} ${each.dev} ${each.state.includes('PERMANENT') ? 1 : 0}`)
  const before = answered()
  const found = readTable(arpCache).rows.map((row) => [row.address, row.mac, row.interface, row.permanent].join(' '))
  const after = new Set(answered())
  const stable = before.filter((each) => after.has(each))
  expect(found).toEqual(expect.arrayContaining(stable))
})

test('file agrees with stat, for paths and for folders', () => {
  fs.writeFileSync(join(folder, 'one'), 'x'.repeat(5000), { mode: 0o640 })
  fs.linkSync(join(folder, 'one'), join(folder, 'two'))
  fs.symlinkSync('one', join(folder, 'link'))
  const own = ['one', 'two', 'link'].map((name) => join(folder, name))
  const paths = ['/', '/etc/', '/etc/hosts', '/dev/null', '/usr/bin/env', ...own]
  const stat = (path: string) => run('stat', '-L', '-c', '%n|%i|%u|%g|%a|%s|%o|%X|%Y|%Z|%h', path).trim()
  const before = paths.map(stat)
  const { rows, warnings } = readTable(file, { where: { path: paths } })
  const after = paths.map(stat)
  expect(warnings).toEqual([])
  const isStable = (_: unknown, index: number) => before[index] === after[index]
  expect(rows.map(asStat).filter(isStable)).toEqual(before.filter(isStable))
  expect(after.slice(-own.length)).toEqual(before.slice(-own.length))
  expect(rows.at(-1)).toMatchObject({ path: join(folder, 'link'), symlink: 1, type: 'regular' })

  const listed = readTable(file, { where: { directory: ['/etc'] } }).rows.map((row) => row.path)
  expect(listed.sort()).toEqual(lines(run('find', '/etc', '-mindepth', '1', '-maxdepth', '1')).sort())
})

function asStat(row: TestRow): string {
  const { path, inode, uid, gid, mode, size, block_size: block, atime, mtime, ctime, hard_links: links } = row
  const octal = Number.parseInt(String(mode), 8).toString(8)
  return [path, inode, uid, gid, octal, size, block, atime, mtime, ctime, links].map(String).join('|')
}

test('LIKE finds what a shell pattern finds, and a trailing %% what find finds', () => {
  const like = (value: string) =>
    readTable(file, { where: { path: [{ operator: 'LIKE', value }] } }).rows.map((row) =>
      String(row.path).replace(/\/$/, ''),
    )
  expect(like('/etc/host%').sort()).toEqual(lines(run('sh', '-c', 'printf "%s\\n" /etc/host*')).sort())
  const visible = ['/etc/ssl', '-mindepth', '1', '-name', '.*', '-prune', '-o', '-mindepth', '1', '-print']
  expect(like('/etc/ssl/%%').sort()).toEqual(lines(run('find', ...visible)).sort())
})

test('hash agrees with md5sum, sha1sum and sha256sum', () => {
  const files = ['/etc/hosts', '/etc/passwd', process.execPath]
  const { rows, warnings } = readTable(hash, { where: { path: files } })
  expect(warnings).toEqual([])
  for (const algorithm of ['md5', 'sha1', 'sha256'])
    expect(rows.map((row) => row[algorithm])).toEqual(
      lines(run(`${algorithm}sum`, ...files)).map((line) => line.split(' ')[0]),
    )
})
