// Every table the agent has, in alphabetical order: the one list to extend when a table is added.
import { cpuTime } from './cpu_time.ts'
import { etcHosts } from './etc_hosts.ts'
import { groups } from './groups.ts'
import { kernelInfo } from './kernel_info.ts'
import { kernelModules } from './kernel_modules.ts'
import { loadAverage } from './load_average.ts'
import { memoryInfo } from './memory_info.ts'
import { mounts } from './mounts.ts'
import { processes } from './processes.ts'
import { time } from './time.ts'
import { uptime } from './uptime.ts'
import { userGroups } from './user_groups.ts'
import { users } from './users.ts'
import type { Table } from './define.ts'

export const tables: readonly Table[] = [
  cpuTime,
  etcHosts,
  groups,
  kernelInfo,
  kernelModules,
  loadAverage,
  memoryInfo,
  mounts,
  processes,
  time,
  uptime,
  userGroups,
  users,
]
