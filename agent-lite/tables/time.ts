// The clock, in the forms osquery gives. All of it is UTC; only local_timezone follows the machine's own zone.
import { zoneAbbreviation } from '../sources/time-zone.ts'
import { defineTable } from './define.ts'

const weekdays = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']
const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

export const time = defineTable({
  name: 'time',
  about: 'The current time of this machine, in UTC.',
  origin: 'osquery',
  columns: {
    weekday: { type: 'TEXT', about: 'Day of the week, in English' },
    year: { type: 'INTEGER', about: 'Year' },
    month: { type: 'INTEGER', about: 'Month, 1 to 12' },
    day: { type: 'INTEGER', about: 'Day of the month' },
    hour: { type: 'INTEGER', about: 'Hour, 0 to 23' },
    minutes: { type: 'INTEGER', about: 'Minutes' },
    seconds: { type: 'INTEGER', about: 'Seconds' },
    timezone: { type: 'TEXT', about: 'Zone of the other columns: always UTC' },
    local_timezone: { type: 'TEXT', about: "Abbreviation of the machine's own zone, such as CEST" },
    unix_time: { type: 'INTEGER', about: 'Seconds since 1970' },
    timestamp: { type: 'TEXT', about: 'In the form of asctime, such as Tue Mar  3 14:05:09 2026 UTC' },
    datetime: { type: 'TEXT', about: 'The same as iso_8601', aliases: ['date_time'] },
    iso_8601: { type: 'TEXT', about: 'Such as 2026-03-03T14:05:09Z' },
    win_timestamp: { type: 'BIGINT', hidden: true, foreign: true },
  },
  examples: ['SELECT unix_time, local_timezone FROM time'],
  *read({ device, isUsed, warn }) {
    const nowMs = device.nowMs()
    const now = new Date(nowMs)
    const iso = `${now.toISOString().slice(0, 19)}Z`
    const weekday = weekdays[now.getUTCDay()] ?? ''
    const month = months[now.getUTCMonth()] ?? ''
    const day = String(now.getUTCDate()).padStart(2, ' ')
    const unixTime = Math.floor(nowMs / 1000)

    const localTimezone = (): string => {
      const zone = device.bytesIfPresent('/etc/localtime')
      if (!zone) return 'UTC'
      const abbreviation = zoneAbbreviation(zone, unixTime)
      if (abbreviation === undefined) warn('/etc/localtime is not a time zone file (RFC 9636): taken as UTC')
      return abbreviation ?? 'UTC'
    }

    yield {
      weekday,
      year: now.getUTCFullYear(),
      month: now.getUTCMonth() + 1,
      day: now.getUTCDate(),
      hour: now.getUTCHours(),
      minutes: now.getUTCMinutes(),
      seconds: now.getUTCSeconds(),
      timezone: 'UTC',
      local_timezone: isUsed('local_timezone') ? localTimezone() : null,
      unix_time: unixTime,
      timestamp: `${weekday.slice(0, 3)} ${month} ${day} ${iso.slice(11, 19)} ${now.getUTCFullYear()} UTC`,
      datetime: iso,
      iso_8601: iso,
    }
  },
})
