// inet_aton and in_cidr_block, as osquery's sqlite_string.cpp and sqlite_network.cpp have them. in_cidr_block asks
// whether an address is one of the block's hosts: of an IPv4 block, the network and broadcast addresses are not.
import { BlockList, isIPv4, isIPv6 } from 'node:net'
import { asText, SqlFunctionError, unlessNull, type SqlFunction } from './define.ts'

export const networkFunctions: readonly SqlFunction[] = [
  {
    name: 'inet_aton',
    argumentCount: 1,
    call: unlessNull((address = '') => (isIPv4(asText(address)) ? BigInt(ipv4Number(asText(address))) : null)),
  },
  {
    name: 'in_cidr_block',
    argumentCount: 2,
    call: (block, address) => {
      if (typeof block !== 'string') throw new SqlFunctionError('CIDR must be a string')
      if (typeof address !== 'string') throw new SqlFunctionError('IP address must be a string')
      if (isIPv4(address)) return isHostOfIpv4Block(block, address) ? 1n : 0n
      if (isIPv6(address)) return isInIpv6Block(block, address) ? 1n : 0n
      throw new SqlFunctionError('IP address cannot be parsed')
    },
  },
]

function ipv4Number(address: string): number {
  return address.split('.').reduce((number, part) => number * 256 + Number(part), 0)
}

function isHostOfIpv4Block(block: string, address: string): boolean {
  const [network = '', prefix = ''] = block.split('/')
  if (!isIPv4(network) || !/^[0-9]{1,2}$/.test(prefix) || Number(prefix) > 32 || block.split('/').length !== 2) {
    throw new SqlFunctionError('CIDR for IP address v4 cannot be parsed')
  }
  const size = 2 ** (32 - Number(prefix))
  const offset = ipv4Number(address) - Math.floor(ipv4Number(network) / size) * size
  return size === 1 ? offset === 0 : offset > 0 && offset < size - 1
}

function isInIpv6Block(block: string, address: string): boolean {
  const [network = '', prefix = ''] = block.split('/')
  if (!isIPv6(network) || !/^[0-9]{1,3}$/.test(prefix) || Number(prefix) > 128 || block.split('/').length !== 2) {
    throw new SqlFunctionError('CIDR for IP address v6 cannot be parsed')
  }
  const list = new BlockList()
  list.addSubnet(withoutScope(network), Number(prefix), 'ipv6')
  return list.check(withoutScope(address), 'ipv6')
}

function withoutScope(address: string): string {
  return address.replace(/%.*$/, '')
}
