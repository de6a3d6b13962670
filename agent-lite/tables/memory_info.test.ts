import { expect, test } from 'vitest'
import { fixtureDevice, readTable } from '../../test/support/read-table.ts'
import { memoryInfo } from './memory_info.ts'

test('gives bytes, and NULL for what the kernel does not report', () => {
  expect(readTable(memoryInfo, { device: fixtureDevice('rpi4-raspbian') }).rows).toEqual([
    {
      memory_total: 1888416 * 1024,
      memory_free: 312004 * 1024,
      memory_available: 1402216 * 1024,
      buffers: 61280 * 1024,
      cached: 1034112 * 1024,
      swap_cached: 0,
      active: 640180 * 1024,
      inactive: 703952 * 1024,
      swap_total: 102396 * 1024,
      swap_free: 102396 * 1024,
    },
  ])
})
