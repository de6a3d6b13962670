import fc from 'fast-check'
import { expect, test } from 'vitest'
import { arbitraryCell } from './testing.ts'
import { blobCell, cellToSql, cellToText, checkCell, doubleCell, doubleText, integerCell } from './cells.ts'
import { Refusal } from './refusal.ts'

const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })

test('every 64-bit integer round-trips through JSON', () => {
  fc.assert(
    fc.property(int64, (value) => {
      const cell: unknown = JSON.parse(JSON.stringify(integerCell(value)))
      checkCell(cell)
      expect(cellToSql(cell)).toBe(value)
    }),
  )
})

test('every double round-trips through JSON and stays a double, whole numbers and infinities too', () => {
  fc.assert(
    fc.property(fc.double({ noNaN: true }), (value) => {
      const cell: unknown = JSON.parse(JSON.stringify(doubleCell(value)))
      checkCell(cell)
      const back = cellToSql(cell)
      expect(typeof back).toBe('number')
      expect(Object.is(back, value)).toBe(true)
    }),
  )
  expect(doubleCell(NaN)).toBeNull()
})

test('every text and blob round-trips through JSON', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.uint8Array(), (text, bytes) => {
      const cells: unknown[] = JSON.parse(JSON.stringify([text, blobCell(bytes)])) as unknown[]
      cells.forEach((cell) => checkCell(cell))
      expect(cells[0]).toBe(text)
      expect(new Uint8Array(cellToSql(cells[1] as never) as Uint8Array)).toEqual(bytes)
    }),
  )
})

test('whatever is not a cell is refused with a reason, never with another error', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      try {
        checkCell(value)
      } catch (error) {
        expect(error).toBeInstanceOf(Refusal)
      }
    }),
  )
})

test.each([
  [true],
  [[]],
  [{}],
  [{ i: '01' }],
  [{ i: '9223372036854775808' }],
  [{ i: 1 }],
  [{ d: 'NaN' }],
  [{ d: '1.0' }],
  [{ d: '' }],
  [{ b: '*' }],
  [{ b: 'AA' }],
  [{ i: '1', d: '1' }],
  [{ __proto__: null, x: '1' }],
  [1e20],
  [Infinity],
])('refuses %j', (value) => {
  expect(() => checkCell(value)).toThrow(Refusal)
})

test.each([
  [1, '1.0'],
  [0, '0.0'],
  [-0, '-0.0'],
  [0.1, '0.1'],
  [1 / 3, '0.333333333333333'],
  [123456789.125, '123456789.125'],
  [1e15, '1e+15'],
  [1e100, '1e+100'],
  [1.5e-7, '1.5e-07'],
  [0.0001, '0.0001'],
  [2 / 3, '0.666666666666667'],
  [999999999999999.9, '1e+15'],
  [Infinity, 'inf'],
])('prints the double %d as %s, as osquery does', (value, text) => {
  // C++ prints 1e+15 for what %.15g rounds up to 16 digits, and appends ".0" only where no exponent and no point is.
  expect(doubleText(value)).toBe(text)
})

test('text forms are those of osquery: NULL is empty, integers are exact', () => {
  expect([null, 5, { i: '9007199254740993' }, { d: '2' }, 'x'].map((cell) => cellToText(cell as never))).toEqual([
    '',
    '5',
    '9007199254740993',
    '2.0',
    'x',
  ])
})

test('the arbitrary used by other tests makes only canonical cells', () => {
  fc.assert(fc.property(arbitraryCell, (cell) => checkCell(JSON.parse(JSON.stringify(cell)))))
})
