// What the gateway says of itself: the shape of GET /v1/status, and what makes it unhealthy.
import type { SiteId } from '../../protocol/ids.ts'
import type { Backlog } from '../store/segments.ts'
import type { LinkSnapshot } from '../uplink/link-status.ts'

export interface GatewayStatus {
  site: SiteId
  version: string
  startedMs: number
  /** Of this store: numbers of segments mean something only within it. */
  chain: string
  /** Why /healthz says 503; empty while all is well. */
  problems: string[]
  devices: { connected: number; known: number }
  journal: { records: number; lastId: number; fileBytes: number }
  /** Records that the site state does not show yet. */
  unfolded: number
  uplink: LinkSnapshot & { url: string; backlog: Backlog }
  queries: { open: number; awaitingConsent: number }
  ledger: string
}
