// IPv4 and IPv6 routes in the form of osquery's netlink dump: all tables, `netmask` as a prefix length and 0 for single
// hosts, `gateway` as the type of every unicast route. What /proc does not show stays as netlink's default: mtu and
// hopcount 0; `source` is given where the kernel itself sets it, for the networks and addresses of an interface.
import type { Device } from '../sources/device.ts'
import { mainRoutes, trieRoutes, type TrieRoute } from '../sources/fib.ts'
import { ipv4Mask, ipv4Text, ipv6FromHex, ipv6Text, isInNetwork, type Ipv4 } from '../sources/inet.ts'
import { ipv4Addresses, linkAttribute, type Ipv4Address } from '../sources/interfaces.ts'
import { defineTable } from './define.ts'

export const routes = defineTable({
  name: 'routes',
  about: 'The active route table for the host system.',
  origin: 'osquery',
  cacheable: true,
  columns: {
    destination: { type: 'TEXT', about: 'Network or host; 0.0.0.0 or :: for a default route' },
    netmask: { type: 'INTEGER', about: 'Prefix length; 0 for default routes and for single hosts' },
    gateway: { type: 'TEXT', about: 'Next hop; NULL when reached directly' },
    source: { type: 'TEXT', about: 'Own address that this route prefers' },
    flags: { type: 'INTEGER', about: 'RTNH_F_* flags: 16 when the link has no carrier' },
    interface: { type: 'TEXT', about: 'Interface it leads through' },
    mtu: { type: 'INTEGER', about: 'Always 0: not visible without netlink' },
    metric: { type: 'INTEGER', about: 'Cost; the lowest is used' },
    type: { type: 'TEXT', about: 'gateway, local, broadcast, anycast or other', additional: true },
    hopcount: { type: 'INTEGER', about: 'Always 0: not visible without netlink' },
  },
  examples: ["SELECT gateway, interface, metric FROM routes WHERE destination = '0.0.0.0' AND netmask = 0"],
  *read(context) {
    const types = context.equals('type')
    const hasCarrier = carrierCheck(context.device)
    for (const route of [...ipv4Routes(context), ...ipv6Routes(context.device)]) {
      if (types.length > 0 && !types.includes(route.type)) continue
      const isOwn = route.type === 'local' || route.type === 'anycast'
      const flags = isOwn || hasCarrier(route.interface) ? 0 : linkDownFlag
      yield { ...route, flags, mtu: 0, hopcount: 0 }
    }
  },
})

/** RTNH_F_LINKDOWN of <linux/rtnetlink.h>. */
const linkDownFlag = 0x10

interface Route {
  destination: string
  netmask: number
  gateway: string | undefined
  source: string | undefined
  interface: string | undefined
  metric: number
  type: 'gateway' | 'local' | 'broadcast' | 'anycast' | 'other'
}

function carrierCheck(device: Device): (name: string | undefined) => boolean {
  const states = new Map<string, boolean>()
  return (name) => {
    if (name === undefined) return true
    const known = states.get(name) ?? linkAttribute(device, name, 'carrier') !== '0'
    states.set(name, known)
    return known
  }
}

const trieTypes: Record<string, Route['type']> = {
  UNICAST: 'gateway',
  LOCAL: 'local',
  BROADCAST: 'broadcast',
  ANYCAST: 'anycast',
}

function ipv4Routes({ device, warn }: { device: Device; warn(message: string): void }): Route[] {
  const addresses = ipv4Addresses(device)
  const trie = trieRoutes(device)
  const main = mainRoutes(device).map((route): Route => ({
    ...ipv4Destination(route.destination, route.prefixLength),
    gateway: route.gateway === 0 ? undefined : ipv4Text(route.gateway),
    source: route.gateway === 0 ? sourceOf(primaryWithin(addresses, route)) : undefined,
    interface: route.interface,
    metric: route.metric,
    type: route.interface === undefined ? 'other' : 'gateway',
  }))
  const own = new Map(
    trie
      .filter(({ table, type }) => !isNumbered(table) && (type === 'LOCAL' || type === 'BROADCAST'))
      .map((route) => [`${route.destination}/${route.prefixLength}/${route.type}`, ownRoute(route, addresses)]),
  )
  const numbered = trie.filter(({ table }) => isNumbered(table))
  const incomplete = numbered.find(({ type }) => type === 'UNICAST')
  if (incomplete) warn(`routes: gateway and interface of routes in table ${incomplete.table} need netlink`)
  const others = numbered.map((route): Route => ({
    ...ipv4Destination(route.destination, route.prefixLength),
    gateway: undefined,
    source: undefined,
    interface: undefined,
    metric: 0,
    type: trieTypes[route.type] ?? 'other',
  }))
  return [...others, ...main, ...own.values()]
}

function isNumbered(table: string): boolean {
  return table.startsWith('Id ')
}

/** A route that the kernel made for an address of this machine. */
function ownRoute(route: TrieRoute, addresses: Ipv4Address[]): Route {
  const cause = addresses.find(({ address, prefixLength }) =>
    route.type === 'LOCAL' && route.prefixLength === 32
      ? address === route.destination
      : route.type === 'LOCAL'
        ? isInNetwork(address, route.destination, route.prefixLength)
        : prefixLength < 32 && edges(address, prefixLength).includes(route.destination),
  )
  const network = cause && { ...cause, interface: cause.link?.name, destination: cause.address }
  return {
    ...ipv4Destination(route.destination, route.prefixLength),
    gateway: undefined,
    source: sourceOf(network && primaryWithin(addresses, network)),
    interface: cause?.link?.name,
    metric: 0,
    type: trieTypes[route.type]!,
  }
}

/** Broadcast addresses of a network: its last, and on older kernels also its first. */
function edges(address: Ipv4, prefixLength: number): Ipv4[] {
  const mask = ipv4Mask(prefixLength)
  return [(address & mask) >>> 0, (address | ~mask) >>> 0]
}

/** The first address that an interface has in a network, or the one whose peer the network is. */
function primaryWithin(
  addresses: Ipv4Address[],
  network: { interface: string | undefined; destination: Ipv4; prefixLength: number },
): Ipv4Address | undefined {
  return addresses.find(
    ({ link, address, peer }) =>
      link !== undefined &&
      link.name === network.interface &&
      (isInNetwork(address, network.destination, network.prefixLength) || peer === network.destination),
  )
}

function sourceOf(address: Ipv4Address | undefined): string | undefined {
  return address && ipv4Text(address.address)
}

function ipv4Destination(destination: Ipv4, prefixLength: number) {
  return { destination: ipv4Text(destination), netmask: prefixLength === 32 ? 0 : prefixLength }
}

// <linux/ipv6_route.h> and <linux/route.h>
const rtf = { gateway: 0x2, reject: 0x200, anycast: 0x10_0000, cache: 0x100_0000, local: 0x8000_0000 } as const

/** The entry that stands for "no route": netlink does not show it. */
const nullMetric = 0xffff_ffff

/** IPv6 routes of every table, from /proc/net/ipv6_route. */
function ipv6Routes(device: Device): Route[] {
  return (device.textIfPresent('/proc/net/ipv6_route') ?? '').split('\n').flatMap((line): Route[] => {
    const fields = line.trim().split(/\s+/)
    const [hex = '', length = '', , , nextHop = '', metricHex = '', , , flagsHex = '', name] = fields
    const destination = ipv6FromHex(hex)
    const gateway = ipv6FromHex(nextHop)
    const metric = Number.parseInt(metricHex, 16)
    const flags = Number.parseInt(flagsHex, 16)
    if (!destination || !gateway || (flags & rtf.cache) !== 0 || metric === nullMetric) return []
    const prefixLength = Number.parseInt(length, 16)
    return [
      {
        destination: ipv6Text(destination),
        netmask: prefixLength === 128 ? 0 : prefixLength,
        gateway: (flags & rtf.gateway) === 0 ? undefined : ipv6Text(gateway),
        source: undefined,
        interface: name,
        metric,
        type: ipv6Type(flags, destination),
      },
    ]
  })
}

function ipv6Type(flags: number, destination: Uint8Array): Route['type'] {
  if ((flags & rtf.reject) !== 0) return 'other'
  if ((flags & rtf.local) !== 0) return 'local'
  if ((flags & rtf.anycast) !== 0) return 'anycast'
  return destination[0] === 0xff ? 'other' : 'gateway'
}
