// Open sockets of every network namespace, as osquery finds them: the socket lists of a namespace come from the first of
// its processes that still lives, owners from the fd folders of all processes. As in osquery a socket is one row: when
// several descriptors share it, the last process in text order and its highest descriptor stand for all.
import type { Device } from './device.ts'
import { ipv4FromWord, ipv4Text, ipv6FromWords, ipv6Text } from './inet.ts'
import { orWarn } from './or-warn.ts'
import { warnOnce } from './warn-once.ts'

/** Address families of <sys/socket.h>. */
export const family = { unix: 1, inet: 2, inet6: 10, packet: 17 } as const

export interface OpenSocket {
  /** -1 when no process that may be looked at holds it. */
  pid: number
  fd: number
  inode: number
  family: number
  protocol: number
  localAddress: string
  remoteAddress: string
  localPort: number
  remotePort: number
  /** Of a unix socket; empty when it has no name. */
  path: string
  state: string
  /** Inode of the network namespace, 0 when the kernel has none or hides it. */
  namespace: string
}

interface Scan {
  device: Device
  warn(message: string): void
  checkpoint(): void
}

/** What to look at. */
export interface SocketSelection {
  pids: readonly string[]
  /** Sockets that none of `pids` holds count too, with pid -1. */
  withOrphans: boolean
  /** False when nobody asks who holds a socket: spares the walk through all descriptors. */
  withOwners: boolean
}

export function* openSockets(scan: Scan, { pids, withOrphans, withOwners }: SocketSelection): Generator<OpenSocket> {
  const refused = warnOnce(scan)
  const owners = new Map<number, { pid: number; fd: number }>()
  const namespaces = new Map<string, string[]>()
  const hidden: string[] = []
  for (const pid of [...pids].sort()) {
    scan.checkpoint()
    if (withOwners) addOwners(scan.device, refused, pid, owners)
    const namespace = orWarn(refused, () => namespaceOf(scan.device, pid))
    const members = namespace === undefined ? hidden : namespaces.get(namespace)
    if (members) members.push(pid)
    else if (namespace !== undefined) namespaces.set(namespace, [pid])
  }
  if (namespaces.size === 0 && hidden.length > 0) namespaces.set('0', hidden)
  // A join asks for one process at a time, and most hold no socket.
  if (!withOrphans && owners.size === 0) return

  for (const [namespace, members] of namespaces)
    for (const socket of socketsSeenByAny(scan, refused, members)) {
      const owner = owners.get(socket.inode)
      if (owner || withOrphans) yield { pid: -1, fd: -1, ...owner, ...socket, namespace }
    }
}

type ListedSocket = Omit<OpenSocket, 'pid' | 'fd' | 'namespace'>

function addOwners(
  device: Device,
  refused: { warn(message: string): void },
  pid: string,
  owners: Map<number, { pid: number; fd: number }>,
): void {
  const folder = `/proc/${pid}/fd`
  const descriptors = orWarn(refused, () => device.names(folder)) ?? []
  for (const fd of descriptors.map(Number).sort((a, b) => a - b)) {
    const link = orWarn(refused, () => device.linkTarget(`${folder}/${fd}`))
    const inode = /^socket:\[(\d+)\]$/.exec(link ?? '')?.[1]
    if (inode !== undefined) owners.set(Number(inode), { pid: Number(pid), fd })
  }
}

function namespaceOf(device: Device, pid: string): string {
  return /^net:\[(\d+)\]$/.exec(device.linkTarget(`/proc/${pid}/ns/net`) ?? '')?.[1] ?? '0'
}

function* socketsSeenByAny(
  scan: Scan,
  refused: { warn(message: string): void },
  pids: readonly string[],
): Generator<ListedSocket> {
  for (const pid of pids) {
    let isAlive = false
    for (const list of lists) {
      scan.checkpoint()
      const text = orWarn(refused, () => scan.device.textIfPresent(`/proc/${pid}/net/${list.file}`))
      if (text === undefined) continue
      isAlive = true
      for (const line of text.split('\n').slice(1)) {
        const socket = list.parse(line)
        if (socket) yield socket
      }
    }
    if (isAlive) return
  }
}

// Files and protocol numbers in osquery's order. "raw" holds the sockets of every raw protocol; osquery calls it 255.
const inetProtocols = { icmp: 1, tcp: 6, udp: 17, udplite: 136, raw: 255 }

const lists: readonly { file: string; parse(line: string): ListedSocket | undefined }[] = [
  ...Object.entries(inetProtocols).flatMap(([file, protocol]) => [
    { file, parse: (line: string) => parseInetSocket(line, family.inet, protocol) },
    { file: `${file}6`, parse: (line: string) => parseInetSocket(line, family.inet6, protocol) },
  ]),
  { file: 'unix', parse: parseUnixSocket },
  { file: 'packet', parse: parsePacketSocket },
]

// include/net/tcp_states.h, in osquery's spelling; a state past these reads UNKNOWN.
const tcpStates = [
  ...['UNKNOWN', 'ESTABLISHED', 'SYN_SENT', 'SYN_RECV', 'FIN_WAIT1', 'FIN_WAIT2'],
  ...['TIME_WAIT', 'CLOSED', 'CLOSE_WAIT', 'LAST_ACK', 'LISTEN', 'CLOSING'],
]

const noAddresses = { localAddress: '', remoteAddress: '', localPort: 0, remotePort: 0, path: '', state: '' }

/** A line of /proc/net/{tcp,udp,raw,…}[6]; undefined when it has not that form. */
function parseInetSocket(line: string, ofFamily: number, protocol: number): ListedSocket | undefined {
  const fields = line.trim().split(/\s+/)
  const local = parseEndpoint(fields[1], ofFamily)
  const remote = parseEndpoint(fields[2], ofFamily)
  const inode = Number(fields[9])
  if (!local || !remote || !Number.isSafeInteger(inode)) return undefined
  return {
    inode,
    family: ofFamily,
    protocol,
    localAddress: local.address,
    localPort: local.port,
    remoteAddress: remote.address,
    remotePort: remote.port,
    path: '',
    state: protocol === inetProtocols.tcp ? (tcpStates[Number.parseInt(fields[3]!, 16)] ?? 'UNKNOWN') : '',
  }
}

function parseEndpoint(field: string | undefined, ofFamily: number): { address: string; port: number } | undefined {
  const [word = '', port = ''] = field?.split(':') ?? []
  if (!/^[0-9a-f]{4}$/i.test(port)) return undefined
  const address =
    ofFamily === family.inet ? mapDefined(ipv4FromWord(word), ipv4Text) : mapDefined(ipv6FromWords(word), ipv6Text)
  return address === undefined ? undefined : { address, port: Number.parseInt(port, 16) }
}

/** `Num: RefCount Protocol Flags Type St Inode Path`; unlike osquery a path keeps what follows its first space. */
function parseUnixSocket(line: string): ListedSocket | undefined {
  const fields = /^\S+: \S+ (\d+) \S+ \S+ \S+ +(\d+)(?: (.*))?$/.exec(line)
  if (!fields) return undefined
  return {
    ...noAddresses,
    inode: Number(fields[2]),
    family: family.unix,
    protocol: Number(fields[1]),
    path: fields[3] ?? '',
  }
}

/** `sk RefCnt Type Proto Iface R Rmem User Inode`. */
function parsePacketSocket(line: string): ListedSocket | undefined {
  const fields = line.trim().split(/\s+/)
  const inode = Number(fields[8])
  if (!Number.isSafeInteger(inode) || !/^[0-9a-f]{4}$/i.test(fields[3]!)) return undefined
  return { ...noAddresses, inode, family: family.packet, protocol: Number.parseInt(fields[3]!, 16), state: 'NONE' }
}

function mapDefined<T, U>(value: T | undefined, map: (value: T) => U): U | undefined {
  return value === undefined ? undefined : map(value)
}
