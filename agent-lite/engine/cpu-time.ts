// CPU time of one thread. Node tells only the process's before version 23; the kernel tells both.
import { readFileSync } from 'node:fs'

/** CPU time of this thread in steps of 10 ms: fields 14 and 15 of proc_pid_stat(5), in clock ticks of 1/100 s. */
export function threadCpuMs(): { userMs: number; systemMs: number } | undefined {
  try {
    const stat = readFileSync('/proc/thread-self/stat', 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return { userMs: Number(fields[11]) * 10, systemMs: Number(fields[12]) * 10 }
  } catch {
    return undefined
  }
}
