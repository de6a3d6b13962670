// IP addresses as the kernel prints them in /proc/net and as glibc's inet_ntop(3) writes them, which is what osquery shows.
import { endianness } from 'node:os'

const isLittleEndian = endianness() === 'LE'

/** An IPv4 address as the number whose most significant byte is its first. */
export type Ipv4 = number

export function ipv4Text(address: Ipv4): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff).join('.')
}

/** The address in dotted form as a number; undefined when it is none. */
export function parseIpv4(text: string): Ipv4 | undefined {
  const parts = text.split('.')
  if (parts.length !== 4 || !parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) < 256)) return undefined
  return parts.reduce((address, part) => address * 256 + Number(part), 0)
}

/** 24 as 255.255.255.0. */
export function ipv4Mask(prefixLength: number): Ipv4 {
  return prefixLength === 0 ? 0 : (0xffff_ffff << (32 - prefixLength)) >>> 0
}

/** 255.255.255.0 as 24. */
export function prefixLengthOf(mask: Ipv4): number {
  return Math.clz32(~mask)
}

export function isInNetwork(address: Ipv4, network: Ipv4, prefixLength: number): boolean {
  return ((address ^ network) & ipv4Mask(prefixLength)) === 0
}

/** The address in a %08X field: network byte order in memory, printed as one machine word. Undefined when malformed. */
export function ipv4FromWord(hex: string): Ipv4 | undefined {
  const bytes = bytesFromWords(hex, 4)
  return bytes && bytes.reduce((address, byte) => address * 256 + byte, 0)
}

/** The address in four %08X words, as in /proc/net/tcp6. Undefined when malformed. */
export function ipv6FromWords(hex: string): Uint8Array | undefined {
  return bytesFromWords(hex, 16)
}

/** The address in 32 hexadecimal digits in order, as in /proc/net/if_inet6. Undefined when malformed. */
export function ipv6FromHex(hex: string): Uint8Array | undefined {
  return /^[0-9a-f]{32}$/i.test(hex) ? Buffer.from(hex, 'hex') : undefined
}

/** inet_ntop(3): the first longest run of zero groups becomes `::`, and mapped or compatible addresses end in IPv4 form. */
export function ipv6Text(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, index) => (bytes[2 * index]! << 8) | bytes[2 * index + 1]!)
  const run = longestZeroRun(groups)
  const isIpv4Tail = run.start === 0 && (run.length === 6 || (run.length === 5 && groups[5] === 0xffff))
  const tail = isIpv4Tail ? [...bytes.subarray(12)].join('.') : undefined
  const words = (from: number, to: number) => groups.slice(from, to).map((group) => group.toString(16))
  if (tail !== undefined) return `::${[...words(run.length, 6), tail].join(':')}`
  if (run.length < 2) return words(0, 8).join(':')
  return `${words(0, run.start).join(':')}::${words(run.start + run.length, 8).join(':')}`
}

export function ipv6Mask(prefixLength: number): Uint8Array {
  return Uint8Array.from({ length: 16 }, (_, index) => {
    const bits = Math.min(8, Math.max(0, prefixLength - 8 * index))
    return (0xff00 >> bits) & 0xff
  })
}

function bytesFromWords(hex: string, byteCount: number): Uint8Array | undefined {
  if (hex.length !== 2 * byteCount || !/^[0-9a-f]+$/i.test(hex)) return undefined
  const bytes = Buffer.from(hex, 'hex')
  return isLittleEndian ? bytes.swap32() : bytes
}

function longestZeroRun(groups: number[]): { start: number; length: number } {
  let best = { start: -1, length: 0 }
  let length = 0
  groups.forEach((group, index) => {
    length = group === 0 ? length + 1 : 0
    if (length > best.length) best = { start: index - length + 1, length }
  })
  return best
}
