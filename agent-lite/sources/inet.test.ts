import { expect, test } from 'vitest'
import { ipv4FromWord, ipv4Mask, ipv4Text, ipv6FromHex, ipv6Mask, ipv6Text, parseIpv4, prefixLengthOf } from './inet.ts'

test('writes IPv6 addresses as inet_ntop does', () => {
  const written = (hex: string) => ipv6Text(ipv6FromHex(hex.replaceAll(' ', ''))!)
  expect(written('00000000 00000000 00000000 00000000')).toBe('::')
  expect(written('00000000 00000000 00000000 00000001')).toBe('::1')
  expect(written('00000000 00000000 00000000 01020304')).toBe('::1.2.3.4')
  expect(written('00000000 00000000 0000ffff 7f000001')).toBe('::ffff:127.0.0.1')
  expect(written('fe800000 00000000 00fc00ff fe000001')).toBe('fe80::fc:ff:fe00:1')
  expect(written('20010db8 00000001 00010000 00000001')).toBe('2001:db8:0:1:1::1')
  expect(written('20010db8 00000001 00010001 00010000')).toBe('2001:db8:0:1:1:1:1:0')
  expect(written('20010db8 00000000 00010000 00000000')).toBe('2001:db8:0:0:1::')
})

test('reads what the kernel printed as a machine word', () => {
  const word = Buffer.from([10, 20, 30, 1])
  const printed = new Uint32Array(Uint8Array.from(word).buffer)[0]!.toString(16).padStart(8, '0')
  expect(ipv4Text(ipv4FromWord(printed)!)).toBe('10.20.30.1')
  expect(ipv4FromWord('010200')).toBeUndefined()
  expect(ipv4FromWord('0102zz00')).toBeUndefined()
})

test('converts between masks and prefix lengths', () => {
  for (let length = 0; length <= 32; length++) expect(prefixLengthOf(ipv4Mask(length))).toBe(length)
  expect(ipv4Text(ipv4Mask(20))).toBe('255.255.240.0')
  expect(ipv6Text(ipv6Mask(64))).toBe('ffff:ffff:ffff:ffff::')
  expect(ipv6Text(ipv6Mask(10))).toBe('ffc0::')
  expect(ipv6Text(ipv6Mask(128))).toBe('ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff')
})

test('takes only four numbers below 256 for an IPv4 address', () => {
  expect(parseIpv4('255.255.255.255')).toBe(0xffff_ffff)
  expect(parseIpv4('1.2.3')).toBeUndefined()
  expect(parseIpv4('1.2.3.256')).toBeUndefined()
  expect(parseIpv4('1.2.3.x')).toBeUndefined()
})
