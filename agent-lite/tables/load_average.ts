// System load, from /proc/loadavg: three rows, the averages as text with six decimals, as osquery prints them.
import { defineTable } from './define.ts'

export const loadAverage = defineTable({
  name: 'load_average',
  about: 'Number of processes that ran or waited for the processor or a disk, averaged over three periods.',
  origin: 'osquery',
  columns: {
    period: { type: 'TEXT', about: '1m, 5m or 15m' },
    average: { type: 'TEXT', about: 'Average over that period, such as 0.250000' },
  },
  examples: ["SELECT average FROM load_average WHERE period = '5m'"],
  *read({ device }) {
    const averages = device.text('/proc/loadavg').split(' ')
    for (const [index, period] of ['1m', '5m', '15m'].entries())
      yield { period, average: Number(averages[index]).toFixed(6) }
  },
})
