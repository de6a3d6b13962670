// What the agent says of itself: to the engine, for the osquery_* tables, and to the site, in a status record.
import type { StatusRecord } from '../protocol/records.ts'
import type { AgentConfig } from './config.ts'
import type { Identity } from './identity.ts'
import { OsqueryOptions } from './packs/options.ts'
import { Device } from './sources/device.ts'
import type { AgentFacts, ScheduledQueryFacts } from './tables/define.ts'
import { osVersion } from './tables/os_version.ts'

const version = process.env['TIDEGATE_VERSION'] ?? 'unbuilt'
const startTime = Math.floor(Date.now() / 1000 - process.uptime())

/** Of a process without configuration: enough for `tidegate-agent query` on the command line. */
export function localFacts(): AgentFacts {
  return {
    version,
    pid: process.pid,
    startTime,
    instanceId: '',
    uuid: '',
    configHash: '',
    configValid: false,
    flags: [],
    schedule: [],
  }
}

/** Of a running agent. `schedule`: rows of osquery_schedule as they are now. */
export function agentFacts(config: AgentConfig, identity: Identity, schedule: ScheduledQueryFacts[]): AgentFacts {
  const { uuid, instanceId } = identity
  const flags = flagsOf(config, identity)
  return { ...localFacts(), uuid, instanceId, configHash: config.hash, configValid: true, flags, schedule }
}

/** The status record that tells the site what this device is; to be sent at each start. */
export function statusOf(
  { labels, schedule }: AgentConfig,
  { hostname, uuid, bootId }: Identity,
  machine = new Device(),
): Omit<StatusRecord, 'seq'> {
  const { platform, name, version: osVersionText, arch } = osOf(machine)
  return {
    kind: 'status',
    atMs: machine.nowMs(),
    facts: {
      hostname,
      platform,
      os: [name, osVersionText].filter((part) => typeof part === 'string').join(' '),
      arch,
      version,
      nodeVersion: process.versions.node,
      labels,
      uuid,
      bootId,
      schedule: schedule.map((query) => query.name),
    },
  }
}

/** The one row of the table os_version. */
function osOf(device: Device): Record<string, unknown> {
  const rows = osVersion.read({
    device,
    agent: localFacts(),
    isUsed: () => true,
    equals: () => [],
    likes: () => [],
    constraints: () => [],
    warn: () => undefined,
    checkpoint: () => undefined,
  })
  for (const row of rows) return row
  return {}
}

/** Rows of osquery_flags: those of osquery's flags that this agent honours. */
function flagsOf({ options, query }: AgentConfig, { device }: Identity): AgentFacts['flags'] {
  const defaults = OsqueryOptions.parse({})
  const flag = (name: string, type: string, description: string, usual: unknown, value: unknown) => ({
    name,
    type,
    description,
    default_value: String(usual),
    value: String(value),
    shell_only: 0,
  })
  return [
    flag('host_identifier', 'string', 'Always specified: the certificate names the device', 'specified', 'specified'),
    flag('specified_identifier', 'string', 'Common name of the certificate', '', device),
    flag(
      'pack_delimiter',
      'string',
      'Between the parts of the names of packs',
      defaults.pack_delimiter,
      options.pack_delimiter,
    ),
    flag(
      'pack_refresh_interval',
      'uint64',
      'Seconds for which the answers of discovery queries hold',
      defaults.pack_refresh_interval,
      options.pack_refresh_interval,
    ),
    flag(
      'schedule_default_interval',
      'uint64',
      'Seconds between runs of a query that names no interval',
      defaults.schedule_default_interval,
      options.schedule_default_interval,
    ),
    flag(
      'schedule_splay_percent',
      'uint64',
      'How far queries are spread, as a percentage of their interval to either side',
      defaults.schedule_splay_percent,
      options.schedule_splay_percent,
    ),
    flag('schedule_timeout', 'uint64', 'Seconds that a query may run (query.timeout)', 60, query.timeout / 1000),
  ]
}
