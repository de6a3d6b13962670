import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { zoneAbbreviation } from './time-zone.ts'

const berlin = readFileSync(new URL('../../test/fixtures/devices/rpi4-raspbian/etc/localtime', import.meta.url))
const at = (iso: string) => Date.parse(iso) / 1000

/** A zone file as slim images have it: no transitions, one type that must not be chosen, and the rule. */
function slim(footer: string): Uint8Array {
  const header = (version: string, types: number, names: number) => {
    const bytes = Buffer.alloc(44)
    bytes.write(`TZif${version}`)
    bytes.writeUInt32BE(types, 36)
    bytes.writeUInt32BE(names, 40)
    return bytes
  }
  const type = Buffer.from([0, 0, 0, 0, 0, 0])
  const data = [type, Buffer.from('LMT\0')]
  return Buffer.concat([header('2', 1, 4), ...data, header('2', 1, 4), ...data, Buffer.from(`\n${footer}\n`)])
}

test('finds the abbreviation between two transitions of a zone file', () => {
  expect(zoneAbbreviation(berlin, at('2026-03-29T00:59:59Z'))).toBe('CET')
  expect(zoneAbbreviation(berlin, at('2026-03-29T01:00:00Z'))).toBe('CEST')
  expect(zoneAbbreviation(berlin, at('1946-01-01T00:00:00Z'))).toBe('CET')
  expect(zoneAbbreviation(berlin, at('1800-01-01T00:00:00Z'))).toBe('LMT')
})

test('follows the rule of the footer after the last transition', () => {
  expect(zoneAbbreviation(berlin, at('2090-07-01T00:00:00Z'))).toBe('CEST')
  expect(zoneAbbreviation(berlin, at('2090-12-01T00:00:00Z'))).toBe('CET')
})

test.each([
  ['EST5EDT,M3.2.0,M11.1.0', '2026-03-08T06:59:59Z', 'EST'],
  ['EST5EDT,M3.2.0,M11.1.0', '2026-03-08T07:00:00Z', 'EDT'],
  ['EST5EDT,M3.2.0,M11.1.0', '2026-11-01T06:00:00Z', 'EST'],
  ['AEST-10AEDT,M10.1.0,M4.1.0/3', '2026-01-01T00:00:00Z', 'AEDT'],
  ['AEST-10AEDT,M10.1.0,M4.1.0/3', '2026-07-01T00:00:00Z', 'AEST'],
  ['IST-1GMT0,M10.5.0,M3.5.0/1', '2026-01-01T00:00:00Z', 'GMT'],
  ['IST-1GMT0,M10.5.0,M3.5.0/1', '2026-07-01T00:00:00Z', 'IST'],
  ['AAA0BBB,J60,J61', '2024-03-01T12:00:00Z', 'BBB'],
  ['AAA0BBB,59,60', '2024-02-29T12:00:00Z', 'BBB'],
  ['<-03>3', '2026-07-01T00:00:00Z', '-03'],
  ['IST-5:30', '2026-07-01T00:00:00Z', 'IST'],
])('reads the rule %s at %s as %s', (footer, moment, abbreviation) => {
  expect(zoneAbbreviation(slim(footer), at(moment))).toBe(abbreviation)
})

test('refuses any file that is no zone file, whatever its bytes', () => {
  expect(zoneAbbreviation(new Uint8Array(), 0)).toBeUndefined()
  expect(zoneAbbreviation(Buffer.from('#!/bin/sh\n'.repeat(10)), 0)).toBeUndefined()
  fc.assert(
    fc.property(fc.nat(berlin.length - 1), fc.nat(255), fc.nat(berlin.length), (index, byte, length) => {
      const damaged = Uint8Array.from(berlin.subarray(0, length))
      damaged[index] = byte
      const abbreviation = zoneAbbreviation(damaged, at('2026-03-03T00:00:00Z'))
      expect(['string', 'undefined']).toContain(typeof abbreviation)
    }),
  )
})
