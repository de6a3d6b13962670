// Memory use, from /proc/meminfo, whose kB are 1024 bytes.
import { integer } from '../sources/integer.ts'
import { defineTable } from './define.ts'

const fields = {
  memory_total: 'MemTotal',
  memory_free: 'MemFree',
  memory_available: 'MemAvailable',
  buffers: 'Buffers',
  cached: 'Cached',
  swap_cached: 'SwapCached',
  active: 'Active',
  inactive: 'Inactive',
  swap_total: 'SwapTotal',
  swap_free: 'SwapFree',
} as const

export const memoryInfo = defineTable({
  name: 'memory_info',
  about: 'Main memory and swap, in bytes.',
  origin: 'osquery',
  columns: {
    memory_total: { type: 'BIGINT', about: 'Memory the kernel can use' },
    memory_free: { type: 'BIGINT', about: 'Memory that nothing uses' },
    memory_available: { type: 'BIGINT', about: 'Memory that new programs could have without swapping' },
    buffers: { type: 'BIGINT', about: 'Buffers of block devices' },
    cached: { type: 'BIGINT', about: 'Page cache' },
    swap_cached: { type: 'BIGINT', about: 'Memory that is also kept in swap' },
    active: { type: 'BIGINT', about: 'Memory used of late' },
    inactive: { type: 'BIGINT', about: 'Memory not used of late, the first to be reclaimed' },
    swap_total: { type: 'BIGINT', about: 'Size of swap' },
    swap_free: { type: 'BIGINT', about: 'Swap that nothing uses' },
  },
  examples: ['SELECT memory_available * 100 / memory_total AS percent_available FROM memory_info'],
  *read({ device }) {
    const kilobytes = new Map(
      device
        .text('/proc/meminfo')
        .split('\n')
        .map((line): [string, string | undefined] => {
          const [name = '', value] = line.split(/:?\s+/)
          return [name, value]
        }),
    )
    const bytes = (name: string) => {
      const value = integer(kilobytes.get(name))
      return value === null ? null : Number(value) * 1024
    }
    yield Object.fromEntries(Object.entries(fields).map(([column, name]) => [column, bytes(name)]))
  },
})
