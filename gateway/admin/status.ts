// What the gateway says of itself: the shape of GET /v1/status, and what makes it unhealthy.
import type { SiteId } from '../../protocol/ids.ts'
import type { Backlog } from '../store/backlog.ts'
import type { LinkSnapshot } from '../uplink/link-status.ts'

export interface GatewayStatus {
  site: SiteId
  version: string
  startedMs: number
  /** Of this store: numbers of segments mean something only within it. */
  chain: string
  /** Why /healthz says 503; empty while all is well. */
  problems: string[]
  /** What will become a problem: certificates and lists that run out. */
  warnings: string[]
  devices: { connected: number; known: number }
  /** How often connections, packets and publishes were refused since the start, by reason (broker/reasons.ts). */
  refused: Readonly<Record<string, number>>
  /** lastId: number of the newest record since the journal was made. */
  journal: { lastId: number; fileBytes: number }
  uplink: LinkSnapshot & { url: string; backlog: Backlog }
  queries: { open: number; awaitingConsent: number }
  ledger: string
}
