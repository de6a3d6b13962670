import { expect, test } from 'vitest'
import { evaluator } from './sql-for-tests.ts'

const value = await evaluator()

test('inet_aton turns an IPv4 address into its number and anything else into NULL', () => {
  expect(value("inet_aton('192.168.0.1')")).toBe(3_232_235_521)
  expect(value("inet_aton('0.0.0.0')")).toBe(0)
  expect(value("inet_aton('255.255.255.255')")).toBe(4_294_967_295)
  for (const other of ["'::1'", "'1.2.3'", "'1.2.3.256'", "'01.2.3.4'", "''", 'NULL']) {
    expect(value(`inet_aton(${other})`)).toBeNull()
  }
})

test('in_cidr_block counts the hosts of a block: network and broadcast addresses of IPv4 are none', () => {
  const inside = (block: string, address: string) => value(`in_cidr_block('${block}', '${address}')`)
  expect(inside('198.51.100.0/24', '198.51.100.14')).toBe(1)
  expect(inside('198.51.100.77/24', '198.51.100.14')).toBe(1)
  expect(inside('198.51.100.0/24', '198.51.100.0')).toBe(0)
  expect(inside('198.51.100.0/24', '198.51.100.255')).toBe(0)
  expect(inside('198.51.100.0/24', '198.51.101.1')).toBe(0)
  expect(inside('10.0.0.1/32', '10.0.0.1')).toBe(1)
  expect(inside('10.0.0.0/31', '10.0.0.1')).toBe(0)
  expect(inside('0.0.0.0/0', '255.255.255.254')).toBe(1)
  expect(inside('2001:db8::/48', '2001:db8:0:ffff:ffff:ffff:ffff:ffff')).toBe(1)
  expect(inside('2001:db8::/48', '2001:db8:1::')).toBe(0)
  expect(inside('fe80::/10', 'fe80::1%eth0')).toBe(1)
})

test('in_cidr_block fails on what it cannot read', () => {
  expect(value("in_cidr_block(1, '10.0.0.1')")).toMatch(/CIDR must be a string/)
  expect(value("in_cidr_block('10.0.0.0/8', 1)")).toMatch(/IP address must be a string/)
  expect(value("in_cidr_block('10.0.0.0/8', 'x')")).toMatch(/IP address cannot be parsed/)
  for (const block of ['10.0.0.0', '10.0.0.0/33', '10.0.0.0/', '10.0.0.0/8/8', '::/0']) {
    expect(value(`in_cidr_block('${block}', '10.0.0.1')`)).toMatch(/CIDR for IP address v4 cannot be parsed/)
  }
  expect(value("in_cidr_block('10.0.0.0/8', '::1')")).toMatch(/CIDR for IP address v6 cannot be parsed/)
})

test('md5, sha1 and sha256 are lower-case hex of the text', () => {
  expect(value("md5('abc')")).toBe('900150983cd24fb0d6963f7d28e17f72')
  expect(value("sha1('abc')")).toBe('a9993e364706816aba3e25717850c26c9cd0d89d')
  expect(value("sha256('abc')")).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
  expect(value('md5(12)')).toBe('c20ad4d76fe97759aa27a0c99bff6710')
  expect(value('sha1(NULL)')).toBeNull()
})

test('base64 goes both ways, and what is not base64 decodes to nothing', () => {
  expect(value("to_base64('hello')")).toBe('aGVsbG8=')
  expect(value("from_base64('aGVsbG8=')")).toBe('hello')
  expect(value("from_base64('aGVs' || char(10) || 'bG8')")).toBe('hello')
  expect(value("from_base64('a*b')")).toBe('')
  expect(value("conditional_to_base64('plain')")).toBe('plain')
  expect(value("conditional_to_base64('tab' || char(9))")).toBe('dGFiCQ==')
  expect(value('to_base64(NULL)')).toBeNull()
})

test('parent_directory is the text before the last slash', () => {
  expect(value("parent_directory('/usr/bin/env')")).toBe('/usr/bin')
  expect(value("parent_directory('/etc')")).toBe('')
  expect(value("parent_directory('etc')")).toBeNull()
  expect(value('parent_directory(1)')).toMatch(/TEXT was expected/)
})

test('log is natural, ceil and floor give integers, the rest doubles', () => {
  expect(value('log(exp(1))')).toEqual({ d: '1' })
  expect(value('log10(1000)')).toEqual({ d: '3' })
  expect(value('sqrt(16)')).toEqual({ d: '4' })
  expect(value('power(2, 10)')).toEqual({ d: '1024' })
  expect(value('ceil(1.2)')).toBe(2)
  expect(value('floor(-1.2)')).toBe(-2)
  expect(value('ceil(9007199254740993)')).toEqual({ i: '9007199254740993' })
  expect(value("floor('1.9x')")).toBe(1)
  expect(value('degrees(pi())')).toEqual({ d: '180' })
  expect(value('radians(180)')).toBe(Math.PI)
  expect(value('cot(1)')).toBe(1 / Math.tan(1))
  expect(value('atan(1)')).toBe(Math.PI / 4)
  expect(value("sqrt('x')")).toEqual({ d: '0' })
  expect(value('sqrt(NULL)')).toBeNull()
})

test('outside its domain or range a function fails the statement', () => {
  expect(value('sqrt(-1)')).toMatch(/sqrt: Numerical argument out of domain/)
  expect(value('acos(2)')).toMatch(/argument out of domain/)
  expect(value('log(-1)')).toMatch(/argument out of domain/)
  expect(value('log(0)')).toMatch(/result out of range/)
  expect(value('power(10, 400)')).toMatch(/result out of range/)
  expect(value('ceil(1e300)')).toMatch(/result out of range/)
})
