// Everything the coordinator keeps, as promises that no engine is named in: SQLite stands behind it (store/sqlite), and
// another database can. Each method is one transaction; what it returns is committed. Pages are ordered and resumed by
// the last item's key. Times are Unix milliseconds.
import type { Columnar } from '../../protocol/columnar.ts'
import type { costClasses } from '../../protocol/commands.ts'
import type { DeviceId, QueryId, SiteId } from '../../protocol/ids.ts'
import type { QueryState } from '../../protocol/query-states.ts'
import type { DecodedSegment } from '../../protocol/segments.ts'
import type { SeqRange } from '../../protocol/seq-ranges.ts'
import type { DeviceRecord } from '../../protocol/records.ts'

export interface SiteContact {
  id: SiteId
  lastContactAtMs: number | null
}

export interface SiteRecord extends SiteContact {
  addedAtMs: number
  hosts: number
  hostsHere: number
  segments: number
  lastSegmentAtMs: number | null
  staleTables: number
}

export interface HostRecord {
  site: SiteId
  device: DeviceId
  firstSeenAtMs: number
  lastSeenAtMs: number
  presence: 'here' | 'gone' | null
  presenceAtMs: number | null
  labels: string[]
  platform: string | null
  version: string | null
  facts: Record<string, unknown>
}

export interface HostKey {
  site: SiteId
  device: DeviceId
}

export interface TableSummary {
  name: string
  table: string | null
  rows: number
  observedAtMs: number
  stale: boolean
}

export interface LatestTable extends HostKey {
  name: string
  table: string | null
  columns: string[]
  rows: Columnar
  observedAtMs: number
  receivedAtMs: number
  stale: boolean
  from: 'history' | 'state'
}

/** What happened with a segment. Only `committed` and `repeat` are receipted. */
export type CommitOutcome =
  | { kind: 'committed'; n: number; sha256: string; newRecords: number; queries: QueryId[]; isNewChain: boolean }
  | { kind: 'repeat'; n: number; sha256: string }
  | { kind: 'out-of-order'; expected: number; expectedPrev: string | null }

export interface TargetSelection {
  all: boolean
  sites: readonly string[]
  labels: readonly string[]
  /** Device ids, or `device.site`. */
  hosts: readonly string[]
}

export interface ResolvedTargets {
  /** Targets that name nothing that is known. */
  unknown: string[]
  /** `isWhole`: every known device of the site is selected; with no devices at all the command addresses `*`. */
  sites: { site: SiteId; devices: DeviceId[]; isWhole: boolean }[]
}

export interface QueryInput {
  id: QueryId
  sql: string
  targets: readonly string[]
  createdAtMs: number
  notAfterMs: number
  timeoutMs: number
  maxRows: number
  maxBytes: number
  costClass: (typeof costClasses)[number]
  by: string
  why: string | null
}

export interface QueryRecord extends QueryInput {
  cancelledAtMs: number | null
  cancelledBy: string | null
  counts: { targets: number; answered: number; failed: number; waiting: number }
  isDone: boolean
  /** Position in the list of queries. */
  n: number
}

export interface TargetRecord {
  site: SiteId
  /** Null for a site whose devices are not known. */
  device: DeviceId | null
  state: QueryState
  reason: string | null
  times: Partial<Record<QueryState, number>>
  rows: number | null
  awaitsParts: boolean
  presence: 'here' | 'gone' | null
  presenceAtMs: number | null
}

export interface AnswerPart extends HostKey {
  /** Grows with each part committed. */
  cursor: number
  status: string
  message: string | null
  columns: string[]
  rows: Columnar
  part: number
  parts: number
  truncated: 'rows' | 'bytes' | null
  warnings: string[] | null
  observedAtMs: number
  receivedAtMs: number
}

export interface SignedCommand {
  site: SiteId
  jws: string
  notAfterMs: number
}

export interface TokenRecord {
  id: string
  name: string
  createdAtMs: number
  expiresAtMs: number | null
  revokedAtMs: number | null
  lastUsedAtMs: number | null
}

export interface AuditRecord {
  n: number
  atMs: number
  who: string
  what: string
  detail: Record<string, unknown>
  prev: string
  hash: string
}

export interface LostRange {
  from: number
  to: number
  reason: string
}

export interface EpochRecord extends HostKey {
  /** Position in the list of epochs. */
  id: number
  epoch: string
  received: SeqRange[]
  lost: LostRange[]
  siteReceived: SeqRange[] | null
  siteReportedAtMs: number | null
}

/** A committed record as the result log reads it. */
export interface LoggableRecord extends HostKey {
  id: number
  epoch: string | null
  seq: number | null
  observedAtMs: number
  receivedAtMs: number
  record: DeviceRecord
}

export interface ResultLogPosition {
  recordId: number
  path: string
  inode: string
  sizeBytes: number
}

/** Rows of a snapshot-mode query as the result log last wrote them. */
export interface LoggedTable {
  epoch: string | null
  seq: number | null
  columns: string[]
  rows: Columnar
  receivedAtMs: number
  stale: boolean
}

export interface Store {
  close(): Promise<void>

  /** Registers a site, or adds a key to a known one. Audited. */
  addSite(input: {
    site: SiteId
    kid: string
    publicPem: string
    who: string
    atMs: number
  }): Promise<'added' | 'key-added' | 'unchanged'>
  sites(): Promise<SiteRecord[]>
  /** When each site was last heard of, as far as saveContacts noted it. */
  contacts(): Promise<SiteContact[]>
  /** Public keys (PEM) that may sign a site's segments; undefined when the site is not registered. */
  siteKeys(site: SiteId): Promise<string[] | undefined>
  /** Notes when sites were last heard of. Never moves back. */
  saveContacts(contacts: readonly { site: SiteId; atMs: number }[]): Promise<void>

  /**
   * Checks the segment's place in its chain and commits everything in it at once, with synchronous durability. A
   * repeat changes nothing. Records are deduplicated by (device, epoch, seq).
   */
  commitSegment(segment: DecodedSegment, committedAtMs: number): Promise<CommitOutcome>
  newestSegment(site: SiteId, chain: string): Promise<{ n: number; sha256: string } | undefined>

  /** Commands with a number above `after` that are still valid; upTo is the highest number looked at. */
  commandsAfter(
    site: SiteId,
    after: number,
    limit: { nowMs: number; maxCount: number; maxBytes: number },
  ): Promise<{ commands: { n: number; jws: string }[]; upTo: number }>

  /** Hosts by site and device, after `after`. */
  hosts(filter: {
    site?: string | undefined
    label?: string | undefined
    search?: string | undefined
    after?: HostKey | undefined
    limit: number
  }): Promise<HostRecord[]>
  host(key: HostKey): Promise<HostRecord | undefined>
  hostTables(key: HostKey): Promise<TableSummary[]>
  /** Newest rows of a scheduled query (or table) on one host. */
  hostTable(key: HostKey, name: string): Promise<LatestTable | undefined>
  /** The same over hosts, by site and device. */
  latestTables(filter: {
    name: string
    site?: string | undefined
    label?: string | undefined
    after?: HostKey | undefined
    limit: number
  }): Promise<LatestTable[]>

  resolveTargets(selection: TargetSelection): Promise<ResolvedTargets>
  /** Stores a query, its targets and its commands; devices of a site null: not known yet. Audited. */
  createQuery(
    query: QueryInput,
    sites: readonly { site: SiteId; devices: readonly DeviceId[] | null; jws: string }[],
  ): Promise<void>
  /** Marks a query cancelled and queues the commands. False when it was done or cancelled before. Audited. */
  cancelQuery(id: QueryId, who: string, atMs: number, commands: readonly SignedCommand[]): Promise<boolean>
  queries(filter: { isDone?: boolean | undefined; before?: number | undefined; limit: number }): Promise<QueryRecord[]>
  query(id: QueryId): Promise<QueryRecord | undefined>
  queryTargets(id: QueryId): Promise<TargetRecord[]>
  /** Parts of answers with a cursor above `after`. */
  answersAfter(id: QueryId, after: number, limit: number): Promise<AnswerPart[]>
  /** Sites that have not had their last word on queries whose validity is over. */
  overdueSites(nowMs: number): Promise<SiteContact[]>
  /**
   * Ends as unreachable what is still open of queries whose validity passed before `validBeforeMs`, with the reason
   * given for its site. Returns the queries that changed.
   */
  expireTargets(
    nowMs: number,
    sites: readonly { site: SiteId; validBeforeMs: number; reason: string }[],
  ): Promise<QueryId[]>

  /** Stores the SHA-256 of a token. Audited. */
  addToken(token: {
    id: string
    name: string
    sha256: Uint8Array
    createdAtMs: number
    expiresAtMs: number | null
    who: string
  }): Promise<void>
  tokens(): Promise<TokenRecord[]>
  /** The token with this SHA-256, whatever its state. */
  tokenBySha256(sha256: Uint8Array): Promise<(TokenRecord & { sha256: Uint8Array }) | undefined>
  touchToken(id: string, atMs: number): Promise<void>
  /** False when there is no such token, or it was revoked before. Audited. */
  revokeToken(id: string, who: string, atMs: number): Promise<boolean>

  /** Entries in order, after number `after`. */
  auditAfter(after: number, limit: number): Promise<AuditRecord[]>

  /** Epochs after `afterId`, for the ledger. */
  epochs(filter: {
    site?: string | undefined
    device?: string | undefined
    afterId?: number | undefined
    limit: number
  }): Promise<EpochRecord[]>

  resultLogPosition(): Promise<ResultLogPosition | undefined>
  /** Records after an id, in order, at most maxBytes of bodies (at least one). */
  recordsAfter(id: number, limit: { maxCount: number; maxBytes: number }): Promise<LoggableRecord[]>
  loggedTable(key: HostKey, name: string): Promise<LoggedTable | undefined>
  /** Moves the result log on, in one transaction with the rows it will need next. */
  saveResultLog(
    position: ResultLogPosition,
    tables: readonly { key: HostKey; name: string; table: LoggedTable }[],
  ): Promise<void>

  /** Deletes a bounded number of what is older; records that the result log still needs stay. Returns how many. */
  prune(olderThanMs: number, keepRecordsAfterId: number): Promise<number>
}
