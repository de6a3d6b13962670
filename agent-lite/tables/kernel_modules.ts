// Loaded kernel modules, from /proc/modules. A kernel without loadable modules has no such file: no rows.
// Without root the kernel shows every address as zero.
import { integer } from '../sources/integer.ts'
import { defineTable } from './define.ts'

export const kernelModules = defineTable({
  name: 'kernel_modules',
  about: 'Kernel modules that are loaded.',
  origin: 'osquery',
  columns: {
    name: { type: 'TEXT', about: 'Name of the module' },
    size: { type: 'BIGINT', about: 'Memory it takes, in bytes' },
    used_by: { type: 'TEXT', about: 'Modules that need it, with commas between; - when there are none' },
    status: { type: 'TEXT', about: 'Live, Loading or Unloading' },
    address: { type: 'TEXT', about: 'Where it lies in kernel memory' },
  },
  examples: ["SELECT name FROM kernel_modules WHERE name IN ('ec_master', 'can_raw')"],
  *read({ device }) {
    for (const line of (device.textIfPresent('/proc/modules') ?? '').split('\n')) {
      const [name, size, , usedBy, status, address] = line.split(' ')
      if (name === undefined || usedBy === undefined || status === undefined || address === undefined) continue
      yield { name, size: integer(size), used_by: usedBy.replace(/,$/, ''), status, address }
    }
  },
})
