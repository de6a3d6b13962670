// Every network interface with its link state and counters, from /sys/class/net. As in osquery `type` is the low byte of
// the hardware type, metric is 0 and last_change -1. Counters are the kernel's 64-bit ones: osquery's wrap at 4 GiB.
import type { Device } from '../sources/device.ts'
import { integer } from '../sources/integer.ts'
import { iff, linkAttribute, links, type Link } from '../sources/interfaces.ts'
import { defineTable } from './define.ts'

export const interfaceDetails = defineTable({
  name: 'interface_details',
  about: 'Detailed information and stats of network interfaces.',
  origin: 'osquery',
  cacheable: true,
  columns: {
    interface: { type: 'TEXT', about: 'Interface name' },
    mac: { type: 'TEXT', about: 'Hardware address, zeros when it has none', collate: 'NOCASE' },
    type: { type: 'INTEGER', about: 'Low byte of the hardware type: 1 Ethernet, 4 loopback, 24 CAN, 254 none' },
    mtu: { type: 'INTEGER', about: 'Largest packet, in bytes' },
    metric: { type: 'INTEGER', about: 'Always 0 on Linux' },
    flags: { type: 'INTEGER', about: 'IFF_* flags: 1 up, 64 running, 65536 has carrier' },
    ipackets: { type: 'BIGINT', about: 'Packets received' },
    opackets: { type: 'BIGINT', about: 'Packets sent' },
    ibytes: { type: 'BIGINT', about: 'Bytes received' },
    obytes: { type: 'BIGINT', about: 'Bytes sent' },
    ierrors: { type: 'BIGINT', about: 'Receive errors' },
    oerrors: { type: 'BIGINT', about: 'Send errors' },
    idrops: { type: 'BIGINT', about: 'Received packets dropped' },
    odrops: { type: 'BIGINT', about: 'Packets dropped before sending' },
    collisions: { type: 'BIGINT', about: 'Collisions' },
    last_change: { type: 'BIGINT', about: 'Always -1 on Linux' },
    link_speed: { type: 'BIGINT', about: 'Mbit/s, 0 when unknown' },
    pci_slot: { type: 'TEXT', about: 'Where on its bus the device sits, as ethtool -i says; -1 when it has no driver' },
    friendly_name: { type: 'TEXT', hidden: true, foreign: true },
    description: { type: 'TEXT', hidden: true, foreign: true },
    manufacturer: { type: 'TEXT', hidden: true, foreign: true },
    connection_id: { type: 'TEXT', hidden: true, foreign: true },
    connection_status: { type: 'TEXT', hidden: true, foreign: true },
    enabled: { type: 'INTEGER', hidden: true, foreign: true },
    physical_adapter: { type: 'INTEGER', hidden: true, foreign: true },
    speed: { type: 'INTEGER', hidden: true, foreign: true },
    service: { type: 'TEXT', hidden: true, foreign: true },
    dhcp_enabled: { type: 'INTEGER', hidden: true, foreign: true },
    dhcp_lease_expires: { type: 'TEXT', hidden: true, foreign: true },
    dhcp_lease_obtained: { type: 'TEXT', hidden: true, foreign: true },
    dhcp_server: { type: 'TEXT', hidden: true, foreign: true },
    dns_domain: { type: 'TEXT', hidden: true, foreign: true },
    dns_domain_suffix_search_order: { type: 'TEXT', hidden: true, foreign: true },
    dns_host_name: { type: 'TEXT', hidden: true, foreign: true },
    dns_server_search_order: { type: 'TEXT', hidden: true, foreign: true },
  },
  examples: ['SELECT interface, mac, ierrors, oerrors FROM interface_details WHERE ierrors + oerrors > 0'],
  *read({ device, isUsed }) {
    for (const link of links(device)) {
      const attribute = (name: string) => linkAttribute(device, link.name, name)
      const count = (name: string) => integer(attribute(`statistics/${name}`))
      yield {
        interface: link.name,
        mac: hardwareAddress(attribute('address')),
        type: Number(attribute('type') ?? 0) & 0xff,
        mtu: Number(attribute('mtu') ?? 0),
        metric: 0,
        flags: link.flags | stateFlags(link, attribute),
        ipackets: count('rx_packets'),
        opackets: count('tx_packets'),
        ibytes: count('rx_bytes'),
        obytes: count('tx_bytes'),
        ierrors: count('rx_errors'),
        oerrors: count('tx_errors'),
        idrops: count('rx_dropped'),
        odrops: count('tx_dropped'),
        collisions: count('collisions'),
        last_change: -1,
        link_speed: isUsed('link_speed') ? Math.max(0, Number(attribute('speed') ?? 0)) : null,
        pci_slot: isUsed('pci_slot') ? busInfo(device, link, attribute) : null,
      }
    }
  },
})

/** The first six bytes, as SIOCGIFHWADDR gives them; shorter addresses are filled up with zeros. */
function hardwareAddress(text = ''): string {
  const bytes = text.split(':').filter((byte) => byte !== '')
  return [...bytes, '00', '00', '00', '00', '00', '00'].slice(0, 6).join(':')
}

/** What dev_get_flags() of the kernel adds to an interface that is up. */
function stateFlags(link: Link, attribute: (name: string) => string | undefined): number {
  if ((link.flags & iff.up) === 0) return 0
  const isOperational = ['up', 'unknown'].includes(attribute('operstate') ?? '')
  return (
    (isOperational ? iff.running : 0) |
    (attribute('carrier') === '1' ? iff.lowerUp : 0) |
    (attribute('dormant') === '1' ? iff.dormant : 0)
  )
}

/**
 * bus_info of ETHTOOL_GDRVINFO, from where the interface stands in /sys/devices: the PCI slot, for virtio that of the
 * carrying device, for USB the controller and the port path; for virtual interfaces what their driver answers.
 */
function busInfo(device: Device, link: Link, attribute: (name: string) => string | undefined): string {
  const parents = (device.linkTarget(`/sys/class/net/${link.name}`) ?? '').split('/').slice(0, -2)
  const parent = parents.at(-1) ?? ''
  if (parent === 'virtual' || parent === '') {
    if ((link.flags & iff.loopback) !== 0) return '-1'
    if (attribute('bridge/bridge_id') !== undefined) return 'N/A'
    const tunFlags = attribute('tun_flags')
    if (tunFlags !== undefined) return (Number(tunFlags) & 1) === 1 ? 'tun' : 'tap'
    return ''
  }
  if (/^virtio\d+$/.test(parent)) return parents.at(-2) ?? ''
  const usbPort = /^\d+-([\d.]+):\d+\.\d+$/.exec(parent)?.[1]
  const usbRoot = parents.findIndex((part) => /^usb\d+$/.test(part))
  if (usbPort !== undefined && usbRoot > 0) return `usb-${parents[usbRoot - 1]}-${usbPort}`
  return parent
}
