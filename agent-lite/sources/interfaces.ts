// Network interfaces and their addresses without netlink: /sys/class/net has every interface, also those that are down;
// IPv4 addresses are the local routes of the kernel, placed on interfaces by what Node knows of running ones and, for the
// rest (a port without cable, a captured tree), by the connected networks. While an interface is administratively down the
// kernel keeps no routes for it, so its IPv4 addresses cannot be seen.
import { networkInterfaces } from 'node:os'
import type { Device } from './device.ts'
import { mainRoutes, trieRoutes, type MainRoute } from './fib.ts'
import { ipv6FromHex, ipv6Mask, ipv6Text, isInNetwork, parseIpv4, prefixLengthOf, type Ipv4 } from './inet.ts'

/** <linux/if.h> */
export const iff = {
  up: 0x1,
  broadcast: 0x2,
  loopback: 0x8,
  pointToPoint: 0x10,
  running: 0x40,
  lowerUp: 0x1_0000,
  dormant: 0x2_0000,
} as const

export interface Link {
  name: string
  index: number
  /** As the driver core keeps them; iff.running, lowerUp and dormant are not among them. */
  flags: number
}

/** All interfaces, in the kernel's order. Files of /sys/class/net that are no interfaces are left out. */
export function links(device: Device): Link[] {
  return device
    .names('/sys/class/net')
    .flatMap((name) => {
      const index = linkAttribute(device, name, 'ifindex')
      const flags = linkAttribute(device, name, 'flags')
      return index === undefined || flags === undefined ? [] : [{ name, index: Number(index), flags: Number(flags) }]
    })
    .sort((a, b) => a.index - b.index)
}

/** One file of /sys/class/net/<name>; undefined when the interface has no such attribute, or not while it is down. */
export function linkAttribute(device: Device, name: string, attribute: string): string | undefined {
  return device.textIfPresent(`/sys/class/net/${name}/${attribute}`)?.trim()
}

/** Past every interface: sorts addresses whose interface is unknown to the end. */
const lastIndex = 2 ** 32

export interface Ipv4Address {
  /** The address's label, such as eth0 or eth0:1; undefined when no network tells on which interface it lies. */
  label: string | undefined
  link: Link | undefined
  address: Ipv4
  prefixLength: number
  /** The other end of a point-to-point link. */
  peer: Ipv4 | undefined
}

/** IPv4 addresses in the order of their interfaces; of one network the primary address comes first. */
export function ipv4Addresses(device: Device): Ipv4Address[] {
  const all = links(device)
  const connected = mainRoutes(device).filter((route) => route.gateway === 0 && route.interface !== undefined)
  const local = trieRoutes(device).filter((route) => route.type === 'LOCAL')
  const running = device.root === '/' ? addressesOfRunningLinks() : []
  const known = new Set(running.map((each) => each.address))
  const unplaced = new Set(
    local
      .filter((route) => route.prefixLength === 32 && !known.has(route.destination))
      .map((route) => route.destination),
  )
  const loopbackNetworks = local
    .filter((route) => route.prefixLength < 32)
    .map((route) => ({ ...route, interface: all.find((link) => link.flags & iff.loopback)?.name }))
  const placed = [...unplaced].map((address) => {
    const network = closest(address, connected) ?? closest(address, loopbackNetworks)
    return { address, label: network?.interface, prefixLength: network?.prefixLength ?? 32 }
  })
  const taken = new Set([...running, ...placed].map((each) => each.label))
  const addresses = [...running, ...placed].map((each) => {
    const label = each.label ?? all.find((link) => isUnnumberedTunnel(link, connected, taken))?.name
    const link = all.find((candidate) => candidate.name === label?.replace(/:.*/, ''))
    const isTunnel = link !== undefined && (link.flags & iff.pointToPoint) !== 0
    return { ...each, label, link, peer: isTunnel ? peerOn(link.name, each.address, connected) : undefined }
  })
  return addresses.sort((a, b) => (a.link?.index ?? lastIndex) - (b.link?.index ?? lastIndex))
}

export interface Ipv6Address {
  label: string
  /** With `%label` when the address is link-local. */
  address: string
  mask: string
}

const linkLocalScope = 0x20

/** IPv6 addresses, from /proc/net/if_inet6. */
export function ipv6Addresses(device: Device): Ipv6Address[] {
  const addresses = (device.textIfPresent('/proc/net/if_inet6') ?? '').split('\n').flatMap((line) => {
    const [hex = '', index = '', prefixLength = '', scope = '', , name = ''] = line.trim().split(/\s+/)
    const bytes = ipv6FromHex(hex)
    if (!bytes) return []
    const zone = Number.parseInt(scope, 16) === linkLocalScope ? `%${name}` : ''
    const mask = ipv6Text(ipv6Mask(Number.parseInt(prefixLength, 16)))
    return [{ label: name, address: ipv6Text(bytes) + zone, mask, index: Number.parseInt(index, 16) }]
  })
  return addresses.sort((a, b) => a.index - b.index)
}

function addressesOfRunningLinks(): { label: string; address: Ipv4; prefixLength: number }[] {
  return Object.entries(askNode()).flatMap(([label, entries = []]) =>
    entries.flatMap((entry) => {
      const address = entry.family === 'IPv4' ? parseIpv4(entry.address) : undefined
      return address === undefined
        ? []
        : [{ label, address, prefixLength: prefixLengthOf(parseIpv4(entry.netmask) ?? 0) }]
    }),
  )
}

/** Nothing where a service manager forbids netlink sockets: then the connected networks place every address. */
function askNode(): ReturnType<typeof networkInterfaces> {
  try {
    return networkInterfaces()
  } catch {
    return {}
  }
}

function closest<T extends { destination: Ipv4; prefixLength: number }>(address: Ipv4, networks: T[]): T | undefined {
  return networks
    .filter((network) => network.prefixLength < 32 && isInNetwork(address, network.destination, network.prefixLength))
    .sort((a, b) => b.prefixLength - a.prefixLength)[0]
}

function isUnnumberedTunnel(link: Link, connected: MainRoute[], taken: ReadonlySet<string | undefined>): boolean {
  const leads = connected.some((route) => route.interface === link.name && route.prefixLength === 32)
  return (link.flags & iff.pointToPoint) !== 0 && leads && !taken.has(link.name)
}

function peerOn(name: string, address: Ipv4, connected: MainRoute[]): Ipv4 | undefined {
  return connected.find(
    (route) => route.interface === name && route.prefixLength === 32 && route.destination !== address,
  )?.destination
}
