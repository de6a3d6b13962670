import fc from 'fast-check'
import { expect, test } from 'vitest'
import { SeqRanges } from './seq-ranges.ts'

const smallSeq = fc.integer({ min: 1, max: 40 })

test('equals a plain set after any additions, and keeps its ranges sorted, disjoint and joined', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(smallSeq, fc.tuple(smallSeq, smallSeq))), (steps) => {
      const ranges = new SeqRanges()
      const model = new Set<number>()
      for (const step of steps) {
        if (typeof step === 'number') {
          expect(ranges.add(step)).toBe(!model.has(step))
          model.add(step)
        } else {
          const [from, to] = [Math.min(...step), Math.max(...step)]
          ranges.addRange(from, to)
          for (let seq = from; seq <= to; seq++) model.add(seq)
        }
      }
      expect(ranges.count).toBe(model.size)
      for (let seq = 0; seq <= 41; seq++) expect(ranges.has(seq)).toBe(model.has(seq))
      const listed = ranges.toJSON()
      listed.forEach(([from], index) => expect(from).toBeGreaterThan((listed[index - 1]?.[1] ?? -1) + 1))
      expect(new SeqRanges(listed).toJSON()).toEqual(listed)
      const missing = new Set(ranges.missing(1, 40).flatMap(([from, to]) => range(from, to)))
      for (let seq = 1; seq <= 40; seq++) expect(missing.has(seq)).toBe(!model.has(seq))
    }),
  )
})

test('the holes end at the highest number unless another end is named', () => {
  const ranges = new SeqRanges([
    [3, 4],
    [8, 9],
  ])
  expect(ranges.missing()).toEqual([
    [1, 2],
    [5, 7],
  ])
  expect(ranges.missing(1, 12)).toEqual([
    [1, 2],
    [5, 7],
    [10, 12],
  ])
  expect(ranges.missing(4)).toEqual([[5, 7]])
})

test.each([
  [[[2, 1]]],
  [
    [
      [1, 2],
      [3, 4],
    ],
  ],
  [
    [
      [5, 6],
      [1, 2],
    ],
  ],
  [
    [
      [1, 2],
      [2, 3],
    ],
  ],
  [[[0.5, 2]]],
])('refuses %j as ranges', (ranges) => {
  expect(() => new SeqRanges(ranges as [number, number][])).toThrow(RangeError)
})

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index)
}
