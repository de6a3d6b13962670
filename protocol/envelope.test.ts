import fc from 'fast-check'
import { brotliCompressSync, constants } from 'node:zlib'
import { expect, test } from 'vitest'
import { toColumnar } from './columnar.ts'
import { DeviceId, Epoch } from './ids.ts'
import { limits } from './limits.ts'
import { decodeEnvelope, encodeEnvelope, type Envelope, type EnvelopeEncoding } from './records.ts'
import { Refusal, type RefusalReason } from './refusal.ts'
import { arbitraryResult } from './testing.ts'

const device = DeviceId.parse('press-2')
const epoch = Epoch.parse('k3J9x0Qa')

const arbitraryRecords = fc.array(
  fc.tuple(
    arbitraryResult,
    fc.constantFrom('snapshot', 'delta', 'answer', 'event', 'gap', 'status', 'from-a-later-version'),
  ),
  { minLength: 1, maxLength: 5 },
)

function envelopeOf(parts: typeof arbitraryRecords extends fc.Arbitrary<infer T> ? T : never): Envelope {
  const records = parts.map(([{ columns, rows }, kind], index) => {
    const cells = toColumnar(columns.length, rows)
    const seq = index + 2
    switch (kind) {
      case 'snapshot':
      case 'event':
        return { kind, seq, atMs: 1, name: 'q', columns, rows: cells, fromALaterVersion: { kept: true } }
      case 'delta':
        return { kind, seq, atMs: 1, name: 'q', columns, added: cells, removed: cells, base: 1 }
      case 'answer':
        return { kind, seq, atMs: 1, queryId: 'q-1', status: 'ok', columns, rows: cells, part: 0, parts: 1 }
      case 'gap':
        return { kind, seq, atMs: 1, from: 1, to: 9, reason: 'outbox-full' }
      case 'status':
        return { kind, seq, atMs: 1, facts: { hostname: 'x', nested: [1, { y: null }] } }
      default:
        return { kind, seq, atMs: 1, anything: cells }
    }
  })
  return {
    v: 1,
    device,
    epoch,
    sentMs: 5,
    bootId: 'b',
    uptimeMs: 1.5,
    clock: 'synced',
    unknownField: 'kept',
    records,
  } as never
}

test('every envelope round-trips in both encodings, unknown fields and unknown kinds included', () => {
  fc.assert(
    fc.property(arbitraryRecords, fc.constantFrom<EnvelopeEncoding>('json', 'br'), (parts, encoding) => {
      const envelope = envelopeOf(parts)
      expect(decodeEnvelope(encodeEnvelope(envelope, encoding), encoding, device)).toEqual(envelope)
    }),
  )
})

test('a mutated envelope is taken whole or refused with a named reason, never a crash', () => {
  fc.assert(
    fc.property(
      arbitraryRecords,
      fc.constantFrom<EnvelopeEncoding>('json', 'br'),
      fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 4 }),
      fc.nat(),
      (parts, encoding, changes, cut) => {
        const bytes = encodeEnvelope(envelopeOf(parts), encoding)
        for (const [at, value] of changes) bytes[at % bytes.length] = value
        const mutated = cut % 3 === 0 ? bytes.subarray(0, cut % bytes.length) : bytes
        try {
          decodeEnvelope(mutated, encoding, device)
        } catch (error) {
          expect(error).toBeInstanceOf(Refusal)
        }
      },
    ),
    { numRuns: 500 },
  )
})

test('any bytes at all are refused with a named reason', () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.constantFrom<EnvelopeEncoding>('json', 'br'), (bytes, encoding) => {
      expect(() => decodeEnvelope(bytes, encoding, device)).toThrow(Refusal)
    }),
  )
})

const record = { kind: 'snapshot', name: 'q', seq: 1, columns: ['a'], rows: [[1]] }
const whole = { v: 1, device: 'press-2', epoch, records: [record] }

test.each<[string, unknown, RefusalReason]>([
  ['a later version', { ...whole, v: 2 }, 'version-unsupported'],
  ["another device's envelope", { ...whole, device: 'press-3' }, 'wrong-device'],
  ['no records', { ...whole, records: [] }, 'bad-shape'],
  [
    'too many records',
    { ...whole, records: Array.from({ length: 1001 }, (_, seq) => ({ ...record, seq: seq + 1 })) },
    'too-many-records',
  ],
  ['a seq twice', { ...whole, records: [record, record] }, 'duplicate-seq'],
  ['an epoch without seq', { ...whole, records: [{ ...record, seq: undefined }] }, 'bad-shape'],
  ['a seq without epoch', { ...whole, epoch: undefined }, 'bad-shape'],
  [
    'columns of unequal length',
    { ...whole, records: [{ ...record, columns: ['a', 'b'], rows: [[1], [1, 2]] }] },
    'bad-shape',
  ],
  ['fewer columns than names', { ...whole, records: [{ ...record, columns: ['a', 'b'] }] }, 'bad-shape'],
  ['a cell that is none', { ...whole, records: [{ ...record, rows: [[true]] }] }, 'bad-shape'],
  [
    'too many columns',
    { ...whole, records: [{ ...record, columns: Array(300).fill('a'), rows: Array(300).fill([]) }] },
    'bad-shape',
  ],
  ['a name with a line feed', { ...whole, records: [{ ...record, name: 'a\nb' }] }, 'bad-shape'],
  [
    'a base after its delta',
    { ...whole, records: [{ ...record, kind: 'delta', base: 1, added: [[]], removed: [[]] }] },
    'bad-shape',
  ],
  [
    'a gap that ends before it begins',
    { ...whole, records: [{ kind: 'gap', seq: 1, from: 3, to: 2, reason: 'outbox-full' }] },
    'bad-shape',
  ],
  [
    'part 2 of 2 counted from 0',
    { ...whole, records: [{ ...record, kind: 'answer', queryId: 'q-1', status: 'ok', part: 2, parts: 2 }] },
    'bad-shape',
  ],
  [
    'a query id that is none',
    { ...whole, records: [{ ...record, kind: 'answer', queryId: '../x', status: 'ok', part: 0, parts: 1 }] },
    'bad-shape',
  ],
  ['a list', [whole], 'bad-shape'],
  ['null', null, 'bad-shape'],
])('refuses %s', (_, value, reason) => {
  expect(reasonOf(() => decodeEnvelope(Buffer.from(JSON.stringify(value)), 'json', device))).toBe(reason)
})

test('refuses too many rows, a payload over the limit, deep nesting and bytes that are not UTF-8', () => {
  const rows = [Array(limits.rowsPerRecord + 1).fill(1)]
  const manyRows = Buffer.from(JSON.stringify({ ...whole, records: [{ ...record, rows }] }))
  expect(reasonOf(() => decodeEnvelope(manyRows, 'json', device))).toBe('too-many-rows')
  expect(reasonOf(() => decodeEnvelope(Buffer.alloc(limits.payloadBytes + 1), 'json', device))).toBe('too-large')
  expect(reasonOf(() => decodeEnvelope(Buffer.from('['.repeat(5000)), 'json', device))).toBe('too-deep')
  expect(reasonOf(() => decodeEnvelope(Buffer.from([0x22, 0xff, 0x22]), 'json', device))).toBe('not-utf8')
})

test('a Brotli bomb costs no more than the limit', () => {
  const bomb = brotliCompressSync(Buffer.alloc(200_000_000, 0x20), { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } })
  expect(bomb.byteLength).toBeLessThan(100_000)
  expect(reasonOf(() => decodeEnvelope(bomb, 'br', device))).toBe('too-large')
})

test('keys named __proto__ and constructor change nothing', () => {
  const text = `{"v":1,"device":"press-2","__proto__":{"epoch":"x"},"records":[{"kind":"constructor","__proto__":{"a":1}}]}`
  const decoded = decodeEnvelope(Buffer.from(text), 'json', device)
  expect(decoded.records[0]?.kind).toBe('constructor')
  expect(({} as { a?: number }).a).toBeUndefined()
})

function reasonOf(run: () => unknown): RefusalReason | undefined {
  try {
    run()
  } catch (error) {
    if (error instanceof Refusal) return error.reason
    throw error
  }
  return undefined
}
