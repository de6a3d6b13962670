// What scheduled queries have cost, as osquery_schedule shows it. Kept over restarts with the last results.
import type { ScheduledQueryFacts } from '../tables/define.ts'
import type { QueryStats } from '../engine/query.ts'
import type { ScheduledQuery } from './scheduled-query.ts'

export interface Totals {
  executions: number
  lastExecutedAtMs: number
  outputBytes: number
  wallTimeMs: number
  lastWallTimeMs: number
  userTimeMs: number
  lastUserTimeMs: number
  systemTimeMs: number
  lastSystemTimeMs: number
  memoryBytes: number
  lastMemoryBytes: number
}

export function addRun(before: Totals | undefined, atMs: number, outputBytes: number, stats: QueryStats): Totals {
  const { wallTimeMs, userTimeMs = 0, systemTimeMs = 0, memoryBytes } = stats
  return {
    executions: (before?.executions ?? 0) + 1,
    lastExecutedAtMs: atMs,
    outputBytes: (before?.outputBytes ?? 0) + outputBytes,
    wallTimeMs: (before?.wallTimeMs ?? 0) + wallTimeMs,
    lastWallTimeMs: wallTimeMs,
    userTimeMs: (before?.userTimeMs ?? 0) + userTimeMs,
    lastUserTimeMs: userTimeMs,
    systemTimeMs: (before?.systemTimeMs ?? 0) + systemTimeMs,
    lastSystemTimeMs: systemTimeMs,
    memoryBytes: (before?.memoryBytes ?? 0) + memoryBytes,
    lastMemoryBytes: memoryBytes,
  }
}

/** One row of osquery_schedule. */
export function factsOf(query: ScheduledQuery, totals: Totals | undefined, isDenied: boolean): ScheduledQueryFacts {
  const count = totals?.executions ?? 0
  return {
    name: query.name,
    query: query.sql,
    interval: query.intervalMs / 1000,
    executions: count,
    last_executed: Math.floor((totals?.lastExecutedAtMs ?? 0) / 1000),
    denylisted: isDenied ? 1 : 0,
    output_size: totals?.outputBytes ?? 0,
    wall_time: Math.floor((totals?.wallTimeMs ?? 0) / 1000),
    wall_time_ms: Math.round(totals?.wallTimeMs ?? 0),
    last_wall_time_ms: Math.round(totals?.lastWallTimeMs ?? 0),
    user_time: Math.round(totals?.userTimeMs ?? 0),
    last_user_time: Math.round(totals?.lastUserTimeMs ?? 0),
    system_time: Math.round(totals?.systemTimeMs ?? 0),
    last_system_time: Math.round(totals?.lastSystemTimeMs ?? 0),
    average_memory: count === 0 ? 0 : Math.round((totals?.memoryBytes ?? 0) / count),
    last_memory: Math.round(totals?.lastMemoryBytes ?? 0),
  }
}
