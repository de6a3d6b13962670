// Neighbours the kernel has resolved, from /proc/net/arp. IPv4 only, as in osquery: IPv6 neighbours need netlink.
import { defineTable } from './define.ts'

/** ATF_COM | ATF_PERM of <linux/if_arp.h>. */
const permanentFlags = '0x6'

export const arpCache = defineTable({
  name: 'arp_cache',
  about: 'Address resolution cache, both static and dynamic (from ARP, NDP).',
  origin: 'osquery',
  columns: {
    address: { type: 'TEXT', about: 'IPv4 address of the neighbour' },
    mac: { type: 'TEXT', about: 'Hardware address, zeros when the neighbour did not answer', collate: 'NOCASE' },
    interface: { type: 'TEXT', about: 'Interface it was seen on' },
    permanent: { type: 'TEXT', about: '1 for entries set by hand, else 0' },
  },
  examples: ["SELECT address FROM arp_cache WHERE mac = '02:00:00:00:00:50'"],
  *read({ device }) {
    for (const line of (device.textIfPresent('/proc/net/arp') ?? '').split('\n').slice(1)) {
      const fields = line.trim().split(/\s+/)
      if (fields.length !== 6) continue
      const [address, , flags, mac, , name] = fields
      yield { address, mac, interface: name, permanent: flags === permanentFlags ? '1' : '0' }
    }
  },
})
