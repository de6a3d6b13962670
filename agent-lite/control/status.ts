// What a running agent says of itself over its socket: one JSON object. Fields may be added; none changes its meaning.
import type { DenyListEntry } from '../dispatch/deny-list.ts'
import type { LinkState } from '../link/link.ts'
import type { OutboxState } from '../outbox/outbox.ts'
import type { QueryState } from '../schedule/start.ts'

export interface AgentStatus extends LinkState {
  device: string
  site: string
  version: string
  pid: number
  startedMs: number
  gateway: string
  outbox: OutboxState
  schedule: readonly QueryState[]
  denyList: readonly DenyListEntry[]
  commands: { waiting: number; running: string | undefined; answered: number }
}
