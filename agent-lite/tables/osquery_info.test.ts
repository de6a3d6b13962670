import { expect, test } from 'vitest'
import { readTable } from '../../test/support/read-table.ts'
import { tables } from './all.ts'
import { osqueryFlags } from './osquery_flags.ts'
import { osqueryInfo } from './osquery_info.ts'
import { osquerySchedule } from './osquery_schedule.ts'
import type { ScheduledQueryFacts } from './define.ts'

test('osquery_info tells what the agent knows of itself, as an official Linux build of osquery', () => {
  const agent = { version: '1.2.3', pid: 42, startTime: 1_772_546_709, instanceId: 'i', uuid: 'U', configHash: 'c0' }
  expect(readTable(osqueryInfo, { agent: { ...agent, configValid: false } }).rows).toEqual([
    {
      ...{ pid: 42, uuid: 'U', instance_id: 'i', version: '1.2.3', config_hash: 'c0', config_valid: 0 },
      ...{ extensions: 'inactive', build_platform: 'linux', build_distro: 'centos7' },
      ...{ start_time: 1_772_546_709, watcher: -1, platform_mask: 9 },
    },
  ])
})

test('osquery_schedule and osquery_flags have a row for each query and option', () => {
  const times = { wall_time: 1, wall_time_ms: 1200, last_wall_time_ms: 300, user_time: 90, last_user_time: 9 }
  const memory = { system_time: 8, last_system_time: 2, average_memory: 1000, last_memory: 0 }
  const query: ScheduledQueryFacts = {
    ...{ name: 'users', query: 'SELECT * FROM users', interval: 60, executions: 4, last_executed: 7, denylisted: 0 },
    ...{ output_size: 512, ...times, ...memory },
  }
  expect(readTable(osquerySchedule, { agent: { schedule: [query] } }).rows).toEqual([query])
  const flag = { name: 'verbose', type: 'bool', description: 'Say more', default_value: 'false', value: 'true' }
  const flags = [{ ...flag, shell_only: 0 }]
  expect(readTable(osqueryFlags, { agent: { flags } }).rows).toEqual(flags)
})

test('osquery_registry lists every table, itself too, and what else the agent plugs in', () => {
  const registry = tables.find((table) => table.name === 'osquery_registry')!
  const { rows } = readTable(registry)
  expect(rows.filter((row) => row.registry === 'table').map((row) => row.name)).toEqual(tables.map(({ name }) => name))
  expect(rows).toContainEqual({ registry: 'table', name: 'osquery_registry', owner_uuid: 0, internal: 0, active: 1 })
  expect(rows.filter((row) => row.registry === 'logger')).toMatchObject([{ name: 'mqtt', active: 1 }])
})
