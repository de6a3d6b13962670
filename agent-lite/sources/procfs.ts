// /proc/<pid>, as proc(5) describes it. A process may be gone at any moment: what is missing then is undefined.
import type { Device } from './device.ts'

/** USER_HZ: the unit of times in /proc/<pid>/stat. 100 for user space on every architecture that Node runs on. */
const ticksPerSecond = 100

export const millisecondsPerTick = 1000 / ticksPerSecond

/** Ids of the asked processes that exist, or of all, ascending. A thread id that is asked for counts, as in osquery. */
export function processIds(device: Device, asked: readonly string[]): string[] {
  const ids =
    asked.length > 0
      ? [...new Set(asked)].filter((pid) => isProcessId(pid) && device.stat(`/proc/${pid}`) !== undefined)
      : device.names('/proc').filter(isProcessId)
  return ids.sort((a, b) => Number(a) - Number(b))
}

export interface ProcessStat {
  state: string
  parent: string
  group: string
  userTicks: number
  systemTicks: number
  nice: string
  threads: string
  startTicks: number
}

/** /proc/<pid>/stat; undefined when the text has not its form. The name, in parentheses, may itself hold `) `. */
export function parseStat(text: string): ProcessStat | undefined {
  const fields = text
    .slice(text.lastIndexOf(')') + 2)
    .trimEnd()
    .split(' ')
  if (fields.length < 20) return undefined
  const field = (index: number) => fields[index]!
  return {
    state: field(0),
    parent: field(1),
    group: field(2),
    userTicks: Number(field(11)),
    systemTicks: Number(field(12)),
    nice: field(16),
    threads: field(17),
    startTicks: Number(field(19)),
  }
}

/** The `Key: value` lines of /proc/<pid>/status or /proc/<pid>/io. */
export function parseKeyValues(text: string): Map<string, string> {
  const values = new Map<string, string>()
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':')
    if (colon > 0) values.set(line.slice(0, colon), line.slice(colon + 1).trim())
  }
  return values
}

/** Arguments joined by spaces, without white space at either end. */
export function parseCommandLine(text: string): string {
  return text.replaceAll('\0', ' ').replace(/^[ \t\n\v\f\r]+|[ \t\n\v\f\r]+$/g, '')
}

/** The path in the first line of /proc/<pid>/cgroup (`hierarchy:controllers:path`), which osquery shows. */
export function parseCgroup(text: string): string | undefined {
  return /^[^:\n]*:[^:\n]*:(.*)/.exec(text)?.[1]
}

/** Inode of the file that is mapped under `path` in /proc/<pid>/maps. */
export function mappedInode(maps: string, path: string): string | undefined {
  for (const line of maps.split('\n')) {
    const fields = /^\S+ \S+ \S+ \S+ (\d+)\s+(.*)$/.exec(line)
    if (fields?.[2] === path) return fields[1]
  }
  return undefined
}

/** Unix seconds of the boot, which move when the clock is set; undefined when the kernel does not say. */
export function bootTimeSeconds(device: Device): number | undefined {
  const seconds = /^btime (\d+)$/m.exec(device.textIfPresent('/proc/stat') ?? '')?.[1]
  return seconds === undefined ? undefined : Number(seconds)
}

/** Unix seconds at which a process started. */
export function startTimeSeconds(bootSeconds: number, startTicks: number): number {
  return bootSeconds + Math.floor(startTicks / ticksPerSecond)
}

function isProcessId(text: string): boolean {
  return /^[1-9]\d{0,9}$/.test(text)
}
