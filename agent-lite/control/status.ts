// What a running agent says of itself over its socket: one JSON object. Fields may be added; none changes its meaning.
import type { DenyListEntry } from '../dispatch/deny-list.ts'
import type { LinkState } from '../link/link.ts'
import type { OutboxState } from '../outbox/outbox.ts'

export interface AgentStatus extends LinkState {
  device: string
  site: string
  version: string
  pid: number
  startedMs: number
  gateway: string
  outbox: OutboxState
  schedule: readonly ScheduleLine[]
  denyList: readonly DenyListEntry[]
  commands: { waiting: number; running: string | undefined; answered: number }
}

/** One scheduled query, as far as status shows it. */
export interface ScheduleLine {
  name: string
  nextAtMs: number
  missedCount: number
}
