// What this agent is, in osquery's words. build_platform and build_distro are those of osquery's official Linux builds:
// Fleet's built-in label "All Linux" looks for them.
import { defineTable } from './define.ts'

/** POSIX (1) and LINUX (8). */
const platformMask = 9

export const osqueryInfo = defineTable({
  name: 'osquery_info',
  about: 'Top level information about the running version of the agent.',
  origin: 'osquery',
  columns: {
    pid: { type: 'INTEGER', about: 'Process id of the agent' },
    uuid: { type: 'TEXT', about: "The machine's UUID", collate: 'NOCASE' },
    instance_id: { type: 'TEXT', about: 'Random id of this installation' },
    version: { type: 'TEXT', about: "The agent's version", collate: 'VERSION' },
    config_hash: { type: 'TEXT', about: 'Digest of the working configuration', collate: 'NOCASE' },
    config_valid: { type: 'INTEGER', about: '1 when the configuration was loaded and is valid' },
    extensions: { type: 'TEXT', about: 'Always inactive: the agent has no extensions' },
    build_platform: { type: 'TEXT', about: 'Platform that the agent is built for' },
    build_distro: { type: 'TEXT', about: 'Distribution that official osquery builds name' },
    start_time: { type: 'INTEGER', about: 'Start of the agent, unix seconds' },
    watcher: { type: 'INTEGER', about: 'Always -1: the agent watches itself' },
    platform_mask: { type: 'INTEGER', about: 'Bits of the platform: 9 for Linux' },
  },
  examples: ['SELECT version, config_valid, start_time FROM osquery_info'],
  *read({ agent }) {
    yield {
      pid: agent.pid,
      uuid: agent.uuid,
      instance_id: agent.instanceId,
      version: agent.version,
      config_hash: agent.configHash,
      config_valid: agent.configValid ? 1 : 0,
      extensions: 'inactive',
      build_platform: 'linux',
      build_distro: 'centos7',
      start_time: agent.startTime,
      watcher: -1,
      platform_mask: platformMask,
    }
  },
})
