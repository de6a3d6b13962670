// What the C library's resolver takes from /etc/resolv.conf (resolv.conf(5)): at most three name servers, and the
// loopback when the file names none. osquery shows IPv6 servers blank and repeats the first search domain; this does not.
import { hostname } from '../sources/machine.ts'
import { pidWithNamespace, warnOfNamespaces } from '../sources/namespace.ts'
import { defineTable } from './define.ts'

const maxNameservers = 3 // MAXNS of resolv.h: the library asks no more

// RES_* bits of resolv.h.
const defaults = 0x2c1 // RES_INIT, RES_RECURSE, RES_DEFNAMES, RES_DNSRCH
const optionBits = new Map([
  ['debug', 0x2],
  ['use-vc', 0x8],
  ['inet6', 0x2000],
  ['rotate', 0x4000],
  ['edns0', 0x10_0000],
  ['single-request', 0x20_0000],
  ['single-request-reopen', 0x40_0000],
  ['no-tld-query', 0x100_0000],
  ['no-reload', 0x200_0000],
  ['trust-ad', 0x400_0000],
  ['no-aaaa', 0x800_0000],
])

export const dnsResolvers = defineTable({
  name: 'dns_resolvers',
  about: 'Name servers and search domains that programs of this machine use.',
  origin: 'osquery',
  columns: {
    id: { type: 'INTEGER', about: 'Order within its type, from 0' },
    type: { type: 'TEXT', about: 'nameserver, sortlist or search' },
    address: { type: 'TEXT', about: 'IP address, or the domain of a search' },
    netmask: { type: 'TEXT', about: 'Mask of a sortlist address; 32 for a name server' },
    options: { type: 'BIGINT', about: "Bits of the resolver's options (RES_* of resolv.h)" },
    pid_with_namespace: pidWithNamespace,
  },
  examples: ["SELECT address FROM dns_resolvers WHERE type = 'nameserver'"],
  *read(context) {
    warnOfNamespaces(context)
    const text = context.device.textIfPresent('/etc/resolv.conf')
    if (text === undefined) return
    const nameservers: string[] = []
    let search: string[] | undefined
    let sortlist: string[] = []
    let options = defaults
    for (const line of text.split('\n')) {
      const [keyword, ...values] =
        line
          .split(/[;#]/, 1)[0]
          ?.split(/\s+/)
          .filter((word, at) => word !== '' || at === 0) ?? []
      const first = values[0]
      if (first === undefined) continue
      if (keyword === 'nameserver' && nameservers.length < maxNameservers) nameservers.push(first)
      if (keyword === 'domain') search = [first]
      if (keyword === 'search') search = values
      if (keyword === 'sortlist') sortlist = values
      if (keyword === 'options') for (const option of values) options |= optionBits.get(option) ?? 0
    }
    if (nameservers.length === 0) nameservers.push('127.0.0.1')
    search ??= [hostname(context.device).split('.').slice(1).join('.')].filter((domain) => domain !== '')

    const row = (type: string, id: number, address: string, netmask: string | null) => {
      return { id, type, address, netmask, options, pid_with_namespace: 0 }
    }
    for (const [id, address] of nameservers.entries()) yield row('nameserver', id, address, '32')
    for (const [id, pair] of sortlist.entries()) {
      const [address = '', netmask] = pair.split('/')
      yield row('sortlist', id, address, netmask ?? naturalNetmask(address))
    }
    for (const [id, domain] of search.entries()) yield row('search', id, domain, null)
  },
})

/** The mask that the first number of an IPv4 address implied before CIDR, as the resolver still assumes. */
function naturalNetmask(address: string): string {
  const first = Number.parseInt(address, 10)
  if (first < 128) return '255.0.0.0'
  return first < 192 ? '255.255.0.0' : '255.255.255.0'
}
