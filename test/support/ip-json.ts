// What `ip -j` of iproute2 prints, as far as tests compare tables with it.
export interface IpLink {
  ifindex: number
  ifname: string
  flags: string[]
  mtu: number
  address?: string
  addr_info: {
    family: string
    local: string
    address?: string
    prefixlen: number
    broadcast?: string
    label?: string
  }[]
}

export interface IpRoute {
  type?: string
  dst: string
  gateway?: string
  dev?: string
  table?: string
  prefsrc?: string
  metric?: number
  flags: string[]
}

export interface IpNeighbour {
  dst: string
  dev: string
  lladdr?: string
  state: string[]
}

type Row = Record<string, unknown>

/** Rows of interface_addresses that `ip -j addr` speaks of, in its order. */
export function addressesOf(links: IpLink[]): Row[] {
  return links.flatMap((link) =>
    link.addr_info
      .filter((each) => each.family === 'inet' || each.family === 'inet6')
      .map((each) => ({
        interface: each.family === 'inet' ? each.label : link.ifname,
        address: each.local + (each.local.startsWith('fe80:') ? `%${link.ifname}` : ''),
        prefixLength: each.prefixlen,
        broadcast: each.broadcast ?? null,
        peer: each.address ?? null,
      })),
  )
}

/** Flags of interface_details that `ip -j link` names; NO-CARRIER is its word for up but not running. */
export function flagsOf(link: IpLink): number {
  const bits: Record<string, number> = {
    ...{ UP: 1, BROADCAST: 2, LOOPBACK: 8, POINTOPOINT: 0x10, NOARP: 0x80, PROMISC: 0x100, ALLMULTI: 0x200 },
    ...{ MASTER: 0x400, SLAVE: 0x800, MULTICAST: 0x1000, DYNAMIC: 0x8000, LOWER_UP: 0x10000, DORMANT: 0x20000 },
    ...{ ECHO: 0x40000, 'NO-CARRIER': 0, M_DOWN: 0 },
  }
  const isRunning = link.flags.includes('UP') && !link.flags.includes('NO-CARRIER')
  return link.flags.reduce((flags, name) => flags | bits[name]!, isRunning ? 0x40 : 0)
}

const types: Record<string, string> = { unicast: 'gateway', local: 'local', broadcast: 'broadcast', anycast: 'anycast' }

/** A route in the words of the routes table. */
export function routeOf(route: IpRoute, isIpv6: boolean): Row {
  const [destination = '', length] = (route.dst === 'default' ? (isIpv6 ? '::/0' : '0.0.0.0/0') : route.dst).split('/')
  return {
    destination,
    netmask: Number(length ?? 0),
    gateway: route.gateway ?? null,
    source: route.prefsrc ?? null,
    interface: route.dev ?? null,
    metric: route.metric ?? 0,
    type: types[route.type ?? 'unicast'] ?? 'other',
    flags: route.flags.includes('linkdown') ? 16 : 0,
    mtu: 0,
    hopcount: 0,
  }
}

/** For comparing lists whose order is nobody's promise. */
export function sorted(rows: Row[]): Row[] {
  const texts = rows.map((row) => JSON.stringify(Object.entries(row).sort(([a], [b]) => (a < b ? -1 : 1))))
  return texts.sort().map((text) => Object.fromEntries(JSON.parse(text) as [string, unknown][]))
}
