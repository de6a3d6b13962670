// Arbitrary cells and rows for property tests, here and in the programs. Not part of any bundle.
import fc from 'fast-check'
import { blobCell, doubleCell, integerCell, type Cell } from './cells.ts'

export const arbitraryCell: fc.Arbitrary<Cell> = fc.oneof(
  fc.constant(null),
  fc.string({ unit: 'binary', maxLength: 12 }),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(integerCell),
  fc.integer().map(integerCell),
  fc.double({ noNaN: true }).map(doubleCell),
  fc.uint8Array({ maxLength: 12 }).map(blobCell),
)

/** Column names and rows of that width; few distinct values, so that rows repeat. */
export const arbitraryResult: fc.Arbitrary<{ columns: string[]; rows: Cell[][] }> = fc
  .integer({ min: 1, max: 4 })
  .chain((width) =>
    fc.record({
      columns: fc.constant(Array.from({ length: width }, (_, index) => `c${index}`)),
      rows: fc.array(fc.array(arbitraryCell, { minLength: width, maxLength: width }), { maxLength: 8 }),
    }),
  )
