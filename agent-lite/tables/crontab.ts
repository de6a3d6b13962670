// Jobs of cron: system tables, whose commands begin with the user as in osquery, and each user's own. Hidden files are
// not read, neither here nor by cron. A setting (NAME = value) is no job; osquery takes one of six words for one.
import type { Device } from '../sources/device.ts'
import { pidWithNamespace, warnOfNamespaces } from '../sources/namespace.ts'
import { orWarn } from '../sources/or-warn.ts'
import { defineTable } from './define.ts'

const folders = ['/etc/cron.d', '/var/spool/cron', '/var/spool/cron/crontabs']

export const crontab = defineTable({
  name: 'crontab',
  about: "Scheduled jobs of cron, the system's and the users'.",
  origin: 'osquery',
  cacheable: true,
  columns: {
    event: { type: 'TEXT', about: 'Such as @reboot, in place of a time' },
    minute: { type: 'TEXT', about: 'Minutes of the hour' },
    hour: { type: 'TEXT', about: 'Hours of the day' },
    day_of_month: { type: 'TEXT', about: 'Days of the month' },
    month: { type: 'TEXT', about: 'Months' },
    day_of_week: { type: 'TEXT', about: 'Days of the week' },
    command: { type: 'TEXT', about: 'Command; in system tables with the user before it' },
    path: { type: 'TEXT', about: 'File that has the job' },
    pid_with_namespace: pidWithNamespace,
  },
  examples: ["SELECT command, path FROM crontab WHERE event = '@reboot'"],
  *read(context) {
    warnOfNamespaces(context)
    for (const path of [
      '/etc/crontab',
      ...folders.flatMap((folder) => orWarn(context, () => files(context.device, folder)) ?? []),
    ]) {
      for (const line of (orWarn(context, () => context.device.textIfPresent(path)) ?? '').split('\n')) {
        const job = parseLine(line.trim())
        if (job) yield { ...job, path, pid_with_namespace: 0 }
      }
    }
  },
})

function files(device: Device, folder: string): string[] {
  return device
    .names(folder)
    .filter((name) => !name.startsWith('.'))
    .map((name) => `${folder}/${name}`)
    .filter((path) => device.stat(path)?.isFile())
}

function parseLine(line: string) {
  if (line === '' || line.startsWith('#') || /^["']?[A-Za-z_]\w*["']?\s*=/.test(line)) return undefined
  const words = line.split(/[ \t]+/)
  const [event] = words
  if (event?.startsWith('@')) return words.length < 2 ? undefined : { event, command: words.slice(1).join(' ') }
  const [minute, hour, dayOfMonth, month, dayOfWeek] = words
  if (words.length < 6) return undefined
  return { minute, hour, day_of_month: dayOfMonth, month, day_of_week: dayOfWeek, command: words.slice(5).join(' ') }
}
