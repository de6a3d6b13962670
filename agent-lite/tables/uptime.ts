// Time since boot, from /proc/uptime. A part of a second counts as one, as in sysinfo(2), which osquery asks.
import { defineTable } from './define.ts'

export const uptime = defineTable({
  name: 'uptime',
  about: 'Time passed since the last boot.',
  origin: 'osquery',
  columns: {
    days: { type: 'INTEGER', about: 'Whole days' },
    hours: { type: 'INTEGER', about: 'Hours beyond the days' },
    minutes: { type: 'INTEGER', about: 'Minutes beyond the hours' },
    seconds: { type: 'INTEGER', about: 'Seconds beyond the minutes' },
    total_seconds: { type: 'BIGINT', about: 'All of it in seconds' },
  },
  examples: ['SELECT days, hours FROM uptime'],
  *read({ device }) {
    const total = Math.ceil(Number.parseFloat(device.text('/proc/uptime')))
    yield {
      days: Math.floor(total / 86_400),
      hours: Math.floor(total / 3600) % 24,
      minutes: Math.floor(total / 60) % 60,
      seconds: total % 60,
      total_seconds: total,
    }
  },
})
