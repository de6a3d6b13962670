// IP addresses of interfaces in the form of getifaddrs(3), which osquery calls: an address that has neither broadcast
// address nor peer names itself in their place. The kernel shows the broadcast address only over netlink; given here is
// the last address of the network, which every common tool sets.
import { ipv4Mask, ipv4Text } from '../sources/inet.ts'
import { iff, ipv4Addresses, ipv6Addresses, type Ipv4Address } from '../sources/interfaces.ts'
import { defineTable } from './define.ts'

export const interfaceAddresses = defineTable({
  name: 'interface_addresses',
  about: 'Network interfaces and relevant metadata.',
  origin: 'osquery',
  cacheable: true,
  columns: {
    interface: { type: 'TEXT', about: 'Interface name, or label of the address' },
    address: { type: 'TEXT', about: 'Address; a link-local one ends in %interface' },
    mask: { type: 'TEXT', about: 'Network mask' },
    broadcast: { type: 'TEXT', about: 'Broadcast address' },
    point_to_point: { type: 'TEXT', about: 'Address of the other end' },
    type: { type: 'TEXT', about: 'How the address was assigned: always unknown on Linux' },
    friendly_name: { type: 'TEXT', hidden: true, foreign: true },
  },
  examples: ["SELECT interface, address FROM interface_addresses WHERE address NOT LIKE 'fe80:%'"],
  *read({ device }) {
    for (const each of ipv4Addresses(device))
      yield {
        interface: each.label,
        address: ipv4Text(each.address),
        mask: ipv4Text(ipv4Mask(each.prefixLength)),
        ...farEnd(each),
        type: 'unknown',
      }
    for (const { label, address, mask } of ipv6Addresses(device))
      yield { interface: label, address, mask, type: 'unknown' }
  },
})

function farEnd({ link, address, prefixLength, peer }: Ipv4Address) {
  if (link === undefined) return {}
  if ((link.flags & iff.broadcast) === 0) return { point_to_point: ipv4Text(peer ?? address) }
  return { broadcast: ipv4Text(prefixLength < 31 ? (address | ~ipv4Mask(prefixLength)) >>> 0 : address) }
}
