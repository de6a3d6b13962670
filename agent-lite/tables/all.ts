// Every table the agent has, in alphabetical order: the one list to extend when a table is added.
import { etcHosts } from './etc_hosts.ts'
import type { Table } from './define.ts'

export const tables: readonly Table[] = [etcHosts]
