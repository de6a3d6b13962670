// The kernel's IPv4 routing, from two files that complete each other: /proc/net/route has gateway, interface and metric,
// but only of the main table; /proc/net/fib_trie has every table and type, but neither gateway nor interface.
import type { Device } from './device.ts'
import { ipv4FromWord, parseIpv4, prefixLengthOf, type Ipv4 } from './inet.ts'

export interface MainRoute {
  /** Undefined for routes that reject. */
  interface: string | undefined
  destination: Ipv4
  prefixLength: number
  /** 0 when the network is reached directly. */
  gateway: Ipv4
  metric: number
}

/** The main table, from /proc/net/route. */
export function mainRoutes(device: Device): MainRoute[] {
  return (device.textIfPresent('/proc/net/route') ?? '').split('\n').flatMap((line) => {
    const [name, destinationWord = '', gatewayWord = '', , , , metric, maskWord = ''] = line.trim().split(/\s+/)
    const destination = ipv4FromWord(destinationWord)
    const gateway = ipv4FromWord(gatewayWord)
    const mask = ipv4FromWord(maskWord)
    if (destination === undefined || gateway === undefined || mask === undefined) return []
    const via = name === '*' ? undefined : name
    return [{ interface: via, destination, prefixLength: prefixLengthOf(mask), gateway, metric: Number(metric) }]
  })
}

export interface TrieRoute {
  /** `Main`, `Local`, or `Id 100`. While no rules exist, Main and Local are one trie and print the same routes. */
  table: string
  destination: Ipv4
  prefixLength: number
  /** RTN_* without its prefix: UNICAST, LOCAL, BROADCAST, UNREACHABLE, … */
  type: string
}

/** Every table, from /proc/net/fib_trie. */
export function trieRoutes(device: Device): TrieRoute[] {
  const routes: TrieRoute[] = []
  let table = ''
  let destination: Ipv4 | undefined
  for (const line of (device.textIfPresent('/proc/net/fib_trie') ?? '').split('\n')) {
    const leaf = /^\s*\|-- (\S+)/.exec(line)
    const entry = /^\s*\/(\d+) \S+ (\w+)/.exec(line)
    const heading = /^(\w[\w ]*):$/.exec(line)
    if (heading) table = heading[1]!
    else if (leaf) destination = parseIpv4(leaf[1]!)
    else if (entry && destination !== undefined)
      routes.push({ table, destination, prefixLength: Number(entry[1]), type: entry[2]! })
  }
  return routes
}
