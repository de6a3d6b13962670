// What a process without configuration knows of itself: enough for `tidegate-agent query` on the command line.
import type { AgentFacts } from './tables/define.ts'

export function localFacts(): AgentFacts {
  return {
    version: process.env.TIDEGATE_VERSION ?? 'unbuilt',
    pid: process.pid,
    startTime: Math.floor(Date.now() / 1000 - process.uptime()),
    instanceId: '',
    uuid: '',
    configHash: '',
    configValid: false,
    flags: [],
    schedule: [],
  }
}
