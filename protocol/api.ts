// The people's API of the coordinator (/api/v1): every request and answer as a schema. The server checks with them and
// publishes them as OpenAPI, the command line parses with them. Objects are loose for the reader: new fields may come.
import * as z from 'zod'
import { costClasses } from './commands.ts'
import { DeviceId, SiteId } from './ids.ts'
import { limits } from './limits.ts'
import { queryStates } from './query-states.ts'

const AtMs = z.int().describe('Unix time in milliseconds')
const AgeMs = z.int().describe('How old this was when the answer was made, in milliseconds')

/** One SQL value with its type (docs/protocol.md, "Cells"). */
export const CellShape = z
  .union([
    z.null(),
    z.string(),
    z.number(),
    z.object({ i: z.string() }),
    z.object({ d: z.string() }),
    z.object({ b: z.string() }),
  ])
  .describe('NULL null, text "…", integer 5 or {"i":"…"}, double 1.5 or {"d":"…"}, blob {"b":base64}')

const Columns = z.array(z.string())
const Rows = z.array(z.array(CellShape)).describe('One array of cells per row, in the order of `columns`')

/** `device.site`, as in DNS: a device id is unique only within its site. */
export const HostId = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,62}\.[a-z0-9][a-z0-9-]{0,62}$/, 'must look like device.site')

export const ErrorBody = z.looseObject({
  error: z.looseObject({
    code: z.string().describe('Stable, in capitals; never reused for another meaning'),
    message: z.string(),
    hint: z.string().optional(),
    requestId: z.string(),
  }),
})
export type ErrorBody = z.infer<typeof ErrorBody>

export const Link = z
  .looseObject({
    state: z.enum(['up', 'down', 'never']),
    sinceMs: AtMs.optional().describe('When the link went down'),
    lastContactAtMs: AtMs.optional(),
  })
  .describe('The link from the site, as the coordinator sees it')
export type Link = z.infer<typeof Link>

export const SiteView = z.looseObject({
  id: z.string(),
  addedAtMs: AtMs,
  link: Link,
  hosts: z.int(),
  hostsHere: z.int().describe('Devices connected to their gateway at its last word'),
  segments: z.int().describe('Segments committed since the site was added'),
  lastSegmentAtMs: AtMs.optional(),
  staleTables: z.int().describe('Tables whose changes did not fit; they heal with the next snapshot'),
})
export type SiteView = z.infer<typeof SiteView>
export const SiteList = z.looseObject({ sites: z.array(SiteView) })

export const HostView = z.looseObject({
  id: z.string(),
  site: z.string(),
  device: z.string(),
  firstSeenAtMs: AtMs,
  lastSeenAtMs: AtMs.describe("Newest sign of life, by the gateway's clock"),
  presence: z.enum(['here', 'gone', 'unknown']),
  presenceAtMs: AtMs.optional(),
  labels: z.array(z.string()),
  platform: z.string().optional(),
  version: z.string().optional(),
})
export type HostView = z.infer<typeof HostView>

export const TableInfo = z.looseObject({
  name: z.string().describe('Name of the scheduled query'),
  table: z.string().optional().describe('The table, when the query is SELECT * of one'),
  rows: z.int(),
  observedAtMs: AtMs,
  ageMs: AgeMs,
  stale: z.boolean().describe('A change did not fit: wait for the next snapshot'),
})

export const HostDetail = HostView.extend({
  link: Link,
  facts: z.record(z.string(), z.unknown()),
  tables: z.array(TableInfo),
})
export type HostDetail = z.infer<typeof HostDetail>

export const Cursor = z.string().max(512)
const Limit = z.coerce.number().int().min(1).max(1000)

export const HostsQuery = z.strictObject({
  site: SiteId.optional(),
  label: z.string().max(128).optional(),
  q: z.string().max(128).optional().describe('Part of the id, host name, platform or a label'),
  cursor: Cursor.optional(),
  limit: Limit.default(100),
})
export const HostList = z.looseObject({ hosts: z.array(HostView), nextCursor: z.string().optional() })

export const HostTable = z.looseObject({
  host: z.string(),
  site: z.string(),
  device: z.string(),
  name: z.string(),
  table: z.string().optional(),
  columns: Columns,
  rows: Rows,
  observedAtMs: AtMs,
  receivedAtMs: AtMs,
  ageMs: AgeMs,
  stale: z.boolean(),
  from: z.enum(['history', 'state']).describe('`state`: came ahead of the records that led to it'),
})
export type HostTable = z.infer<typeof HostTable>

export const ResultsQuery = z.strictObject({
  name: z.string().min(1).max(limits.nameBytes).describe('Name of a scheduled query, or of a table'),
  site: SiteId.optional(),
  label: z.string().max(128).optional(),
  cursor: Cursor.optional(),
  limit: Limit.default(100),
})
export const ResultsPage = z.looseObject({ results: z.array(HostTable), nextCursor: z.string().optional() })

/** What a query may address. Sites and labels narrow each other down; named hosts are added. */
export const Target = z
  .string()
  .max(160)
  .regex(/^(all|site=.+|label=.+|host=.+)$/, "must be 'all', 'site=…', 'label=…' or 'host=…'")

/** At most 90 days. */
export const maxValidForMs = 90 * 86_400_000

export const QueryCreate = z.strictObject({
  sql: z.string().min(1).max(limits.sqlBytes),
  targets: z
    .array(Target)
    .min(1)
    .max(1000)
    .describe('Several sites: any of them; several labels: any of them; site and label: both. host=… is added.'),
  validForMs: z.int().min(1000).max(maxValidForMs).default(3_600_000),
  timeoutMs: z.int().min(1).max(3_600_000).default(60_000),
  maxRows: z.int().min(1).max(limits.rowsPerRecord).default(10_000),
  maxBytes: z
    .int()
    .min(1)
    .max(64 * 1_048_576)
    .default(8 * 1_048_576),
  costClass: z.enum(costClasses).default('normal'),
  why: z.string().max(1024).optional().describe('Shown at the plant and kept in both audit logs'),
})
export type QueryCreate = z.infer<typeof QueryCreate>
export type QueryCreateInput = z.input<typeof QueryCreate>

export const waitCauses = [
  'link-down',
  'never-connected',
  'on-its-way',
  'device-gone',
  'device-unknown',
  'awaiting-consent',
  'running',
  'answer-incomplete',
] as const

/** One device's part in a query; without `device`, a site whose devices the centre does not know yet. */
export const TargetView = z.looseObject({
  site: z.string(),
  host: z.string().optional(),
  device: z.string().optional(),
  state: z.enum(queryStates),
  final: z.boolean(),
  reason: z.string().optional().describe('Why it ended so, or why there is no answer yet'),
  waitingFor: z.enum(waitCauses).optional(),
  times: z.record(z.string(), AtMs).describe('When each state was reached'),
  rows: z.int().optional(),
})
export type TargetView = z.infer<typeof TargetView>

export const QueryCounts = z.looseObject({
  targets: z.int(),
  answered: z.int(),
  failed: z.int().describe('failed, expired, vetoed or unreachable'),
  waiting: z.int(),
})

export const QueryView = z.looseObject({
  id: z.string(),
  sql: z.string(),
  targets: z.array(z.string()),
  createdAtMs: AtMs,
  validUntilMs: AtMs,
  timeoutMs: z.int(),
  maxRows: z.int(),
  maxBytes: z.int(),
  costClass: z.enum(costClasses),
  by: z.string(),
  why: z.string().optional(),
  cancelledAtMs: AtMs.optional(),
  cancelledBy: z.string().optional(),
  status: z.enum(['open', 'done']).describe('done: every target is in a final state'),
  counts: QueryCounts,
})
export type QueryView = z.infer<typeof QueryView>
export const QueryList = z.looseObject({ queries: z.array(QueryView), nextCursor: z.string().optional() })
export const QueryDetail = QueryView.extend({ devices: z.array(TargetView) })
export type QueryDetail = z.infer<typeof QueryDetail>

export const QueriesQuery = z.strictObject({
  status: z.enum(['open', 'done']).optional(),
  cursor: Cursor.optional(),
  limit: Limit.default(50),
})

export const FollowQuery = z.strictObject({
  follow: z.enum(['true', 'false']).default('false').describe('Wait for more until every target is final'),
  after: Cursor.optional().describe('Resume after the `cursor` of the last line that was read'),
})

/** Part of a device's answer. */
export const ResultLine = z.looseObject({
  type: z.literal('answer'),
  cursor: z.string(),
  host: z.string(),
  site: z.string(),
  device: z.string(),
  status: z.string(),
  message: z.string().optional(),
  columns: Columns,
  rows: Rows,
  part: z.int(),
  parts: z.int(),
  truncated: z.enum(['rows', 'bytes']).optional(),
  warnings: z.array(z.string()).optional(),
  observedAtMs: AtMs,
  receivedAtMs: AtMs,
})
export type ResultLine = z.infer<typeof ResultLine>

/** How far the query has come, sent when that changes; `end` is the last line. */
export const ProgressLine = z.looseObject({
  type: z.enum(['progress', 'end']),
  status: z.enum(['open', 'done']),
  counts: QueryCounts,
  missing: z.array(TargetView).describe('Who has not answered, and why; at most 1000'),
  missingMore: z.int().optional(),
})
export type ProgressLine = z.infer<typeof ProgressLine>

export const StreamLine = z.discriminatedUnion('type', [ResultLine, ProgressLine])
export type StreamLine = z.infer<typeof StreamLine>

export const AuditEntry = z.looseObject({
  n: z.int(),
  atMs: AtMs,
  who: z.string(),
  what: z.string(),
  detail: z.record(z.string(), z.unknown()),
  prev: z.string(),
  hash: z.string().describe('SHA-256 over the entry and `prev`: a changed or missing entry shows'),
})
export type AuditEntry = z.infer<typeof AuditEntry>
export const AuditQuery = z.strictObject({ cursor: Cursor.optional(), limit: Limit.default(100) })
export const AuditList = z.looseObject({ entries: z.array(AuditEntry), nextCursor: z.string().optional() })

const Range = z.tuple([z.int(), z.int()])

/** What is accounted for of one epoch of one device. */
export const EpochLedger = z.looseObject({
  host: z.string(),
  site: z.string(),
  device: z.string(),
  epoch: z.string(),
  sent: z.int().describe('Highest number that is known to have been given out'),
  atCentre: z.int().describe('Records committed here'),
  lost: z.int().describe('Records named in a gap'),
  missing: z.int().describe('Neither here nor named in a gap'),
  missingRanges: z.array(Range),
  atSite: z.int().optional().describe('Records the gateway had when it last reported'),
  siteReportedAtMs: AtMs.optional(),
})
export type EpochLedger = z.infer<typeof EpochLedger>
export const LedgerTotals = z.looseObject({ sent: z.int(), atCentre: z.int(), lost: z.int(), missing: z.int() })
export const LedgerQuery = z.strictObject({
  site: SiteId.optional(),
  device: DeviceId.optional(),
  cursor: Cursor.optional(),
  limit: Limit.default(100),
})
export const LedgerPage = z.looseObject({
  totals: LedgerTotals.describe('Over everything that the filter selects, not only this page'),
  epochs: z.array(EpochLedger),
  nextCursor: z.string().optional(),
})
export type LedgerPage = z.infer<typeof LedgerPage>
