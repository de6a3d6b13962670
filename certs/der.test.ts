import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  derChildren,
  derOid,
  derSerial,
  derTimeMs,
  readDer,
  writeDer,
  writeDerInteger,
  writeDerOid,
  writeDerTime,
} from './der.ts'

const der = (hex: string) => readDer(Buffer.from(hex, 'hex'))
const time = (tag: number, text: string) => readDer(Buffer.concat([Buffer.from([tag, text.length]), Buffer.from(text)]))

describe('readDer', () => {
  test('reads nested values', () => {
    expect(derChildren(der('3006020105040101')).map(({ tag, content }) => [tag, content.toString('hex')])).toEqual([
      [2, '05'],
      [4, '01'],
    ])
  })

  test.each([
    ['nothing', ''],
    ['a value that ends too early', '300502'],
    ['bytes after the end', '300000'],
    ['an indefinite length', '30800000'],
    ['a length in more bytes than needed', '30810100'],
    ['a long tag', '3f8101'],
    ['a length of 2^32', '3085010000000000'],
  ])('refuses %s', (_name, hex) => {
    expect(() => der(hex)).toThrow(RangeError)
  })

  test('never does anything but read or refuse', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        try {
          derChildren(readDer(Buffer.from(bytes)))
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError)
        }
      }),
    )
  })
})

test('object identifiers are read in dots', () => {
  expect(derOid(der('06082a8648ce3d040302'))).toBe('1.2.840.10045.4.3.2')
  expect(derOid(der('0603551d14'))).toBe('2.5.29.20')
})

test('times are read in both forms, and refused in any other', () => {
  expect(derTimeMs(time(0x17, '261124120000Z'))).toBe(Date.parse('2026-11-24T12:00:00Z'))
  expect(derTimeMs(time(0x17, '500101000000Z'))).toBe(Date.parse('1950-01-01T00:00:00Z'))
  expect(derTimeMs(time(0x18, '20501231235959Z'))).toBe(Date.parse('2050-12-31T23:59:59Z'))
  for (const text of ['2611241200Z', '261124120000+0100', '261324120000Z', ''])
    expect(() => derTimeMs(time(0x17, text))).toThrow(RangeError)
})

test('serials lose their sign byte and nothing else', () => {
  expect(derSerial(der('020200ff'))).toBe('ff')
  expect(derSerial(der('020100'))).toBe('0')
  for (const hex of ['0201ff', '0200', '02020001']) expect(() => derSerial(der(hex))).toThrow(RangeError)
})

describe('what is written is read back', () => {
  test('lengths of every size', () => {
    for (const length of [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x10000, 0x1000000]) {
      expect(readDer(writeDer(0x30, Buffer.alloc(length))).content).toHaveLength(length)
    }
  })

  test('serials, times and object identifiers', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 160n }), (value) => {
        expect(derSerial(readDer(writeDerInteger(value.toString(16))))).toBe(value.toString(16))
      }),
    )
    fc.assert(
      fc.property(
        fc.date({ min: new Date('1950-01-01'), max: new Date('9999-01-01'), noInvalidDate: true }),
        (date) => {
          expect(derTimeMs(readDer(writeDerTime(date.getTime())))).toBe(Math.floor(date.getTime() / 1000) * 1000)
        },
      ),
    )
    for (const oid of ['1.2.840.10045.4.3.2', '2.5.29.20', '1.3.6.1.4.1.311.21.7'])
      expect(derOid(readDer(writeDerOid(oid)))).toBe(oid)
  })
})
