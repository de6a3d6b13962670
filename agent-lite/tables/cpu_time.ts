// Time each processor core spent in each state since boot, from /proc/stat, in ticks of 1/100 s (USER_HZ).
import { integer } from '../sources/integer.ts'
import { defineTable } from './define.ts'

export const cpuTime = defineTable({
  name: 'cpu_time',
  about: 'Ticks (1/100 s) that each processor core spent in each state since boot.',
  origin: 'osquery',
  columns: {
    core: { type: 'INTEGER', about: 'Number of the core' },
    user: { type: 'BIGINT', about: 'Programs' },
    nice: { type: 'BIGINT', about: 'Programs of lowered priority' },
    system: { type: 'BIGINT', about: 'Kernel' },
    idle: { type: 'BIGINT', about: 'Nothing to do' },
    iowait: { type: 'BIGINT', about: 'Nothing to do but wait for input or output' },
    irq: { type: 'BIGINT', about: 'Interrupts' },
    softirq: { type: 'BIGINT', about: 'Deferred interrupt work' },
    steal: { type: 'BIGINT', about: 'Taken by the hypervisor for other machines' },
    guest: { type: 'BIGINT', about: 'Virtual machines run here' },
    guest_nice: { type: 'BIGINT', about: 'Virtual machines of lowered priority' },
  },
  examples: ['SELECT core, idle * 100.0 / (user + nice + system + idle + iowait) AS idle_percent FROM cpu_time'],
  *read({ device }) {
    for (const line of device.text('/proc/stat').split('\n')) {
      const core = /^cpu(\d+) /.exec(line)?.[1]
      if (core === undefined) continue
      const ticks = line.trim().split(/\s+/).slice(1)
      const at = (index: number) => integer(ticks[index] ?? '0')
      yield {
        core: Number(core),
        user: at(0),
        nice: at(1),
        system: at(2),
        idle: at(3),
        iowait: at(4),
        irq: at(5),
        softirq: at(6),
        steal: at(7),
        guest: at(8),
        guest_nice: at(9),
      }
    }
  },
})
