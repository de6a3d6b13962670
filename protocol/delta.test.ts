import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Cell } from './cells.ts'
import { toColumnar, toRows } from './columnar.ts'
import { applyDelta, diffRows, rowKey } from './delta.ts'
import { arbitraryResult } from './testing.ts'

const fewValues = fc.array(fc.tuple(fc.constantFrom<Cell>(1, '1', { d: '1' }, null), fc.integer({ min: 0, max: 2 })), {
  maxLength: 12,
})

test('applying the difference of two results to the first gives the second, rows that repeat included', () => {
  fc.assert(
    fc.property(fewValues, fewValues, (before, after) => {
      const applied = applyDelta(before, diffRows(before, after))
      expect(applied?.map(rowKey).sort()).toEqual(after.map(rowKey).sort())
    }),
  )
})

test('the difference of a result with itself is empty, whatever the order of its rows', () => {
  fc.assert(
    fc.property(fewValues, (rows) => {
      expect(diffRows(rows, [...rows].reverse())).toEqual({ added: [], removed: [] })
    }),
  )
})

test('an integer, a double and a text that look alike are different rows', () => {
  expect(diffRows([[1]], [['1']])).toEqual({ added: [['1']], removed: [[1]] })
  expect(diffRows([[1]], [[{ d: '1' }]]).added).toHaveLength(1)
})

test('a delta that removes what is not there is not applied at all', () => {
  expect(applyDelta([[1]], { added: [[2]], removed: [[3]] })).toBeUndefined()
})

test('rows survive being turned into columns and back', () => {
  fc.assert(
    fc.property(arbitraryResult, ({ columns, rows }) => {
      expect(toRows(toColumnar(columns.length, rows))).toEqual(rows)
    }),
  )
})
