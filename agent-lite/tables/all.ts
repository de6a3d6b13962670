// Every table the agent has, in alphabetical order: the one list to extend when a table is added.
import { cpuTime } from './cpu_time.ts'
import { etcHosts } from './etc_hosts.ts'
import { kernelInfo } from './kernel_info.ts'
import { kernelModules } from './kernel_modules.ts'
import { loadAverage } from './load_average.ts'
import { memoryInfo } from './memory_info.ts'
import { time } from './time.ts'
import { uptime } from './uptime.ts'
import type { Table } from './define.ts'

export const tables: readonly Table[] = [
  cpuTime,
  etcHosts,
  kernelInfo,
  kernelModules,
  loadAverage,
  memoryInfo,
  time,
  uptime,
]
