// The agent's scheduled queries and what their runs have cost so far.
import { defineTable } from './define.ts'

export const osquerySchedule = defineTable({
  name: 'osquery_schedule',
  about: 'Information about the current queries that are scheduled in the agent.',
  origin: 'osquery',
  columns: {
    name: { type: 'TEXT', about: 'Name of the query' },
    query: { type: 'TEXT', about: 'Its SQL' },
    interval: { type: 'INTEGER', about: 'Seconds between runs' },
    executions: { type: 'BIGINT', about: 'Number of runs' },
    last_executed: { type: 'BIGINT', about: 'Last run, unix seconds' },
    denylisted: { type: 'INTEGER', about: '1 when it is kept from running', aliases: ['blacklisted'] },
    output_size: { type: 'BIGINT', about: 'Bytes of all results' },
    wall_time: { type: 'BIGINT', about: 'Seconds spent in all runs' },
    wall_time_ms: { type: 'BIGINT', about: 'Milliseconds spent in all runs' },
    last_wall_time_ms: { type: 'BIGINT', about: 'Milliseconds of the last run' },
    user_time: { type: 'BIGINT', about: 'Milliseconds of CPU time in user space, all runs' },
    last_user_time: { type: 'BIGINT', about: 'Milliseconds of CPU time in user space, last run' },
    system_time: { type: 'BIGINT', about: 'Milliseconds of CPU time in the kernel, all runs' },
    last_system_time: { type: 'BIGINT', about: 'Milliseconds of CPU time in the kernel, last run' },
    average_memory: { type: 'BIGINT', about: 'Bytes of memory a run leaves behind, on average' },
    last_memory: { type: 'BIGINT', about: 'Bytes of memory the last run left behind' },
  },
  examples: ['SELECT name, executions, wall_time_ms / executions AS ms FROM osquery_schedule WHERE executions > 0'],
  *read({ agent }) {
    for (const query of agent.schedule) yield { ...query }
  },
})
