// Records: what a device has to say. Each kind's schema, and how they are grouped into an envelope for one publish.
import * as z from 'zod'
import { checkColumnar, type Columnar } from './columnar.ts'
import { compress, decompress } from './compression.ts'
import { DeviceId, Epoch, QueryId, QueryName } from './ids.ts'
import { parseJson } from './json.ts'
import { limits } from './limits.ts'
import { Refusal } from './refusal.ts'
import { protocolVersion } from './version.ts'

const Seq = z.int().min(1)
const AtMs = z.int().min(0)
const Columns = z.array(z.string().min(1).max(limits.nameBytes)).min(1).max(limits.columns)
/** Checked cell by cell with checkColumnar, which is several times faster than a schema for every cell. */
const Rows = z.custom<Columnar>((value) => Array.isArray(value))

/** How the result log writes it: osquery's `snapshot` queries log all rows, `differential` ones log changes. */
const Mode = z.enum(['snapshot', 'differential'])

const head = { seq: Seq.optional(), atMs: AtMs.optional() }
/** Of a scheduled query: osquery's epoch-less counter, and whether removed rows are logged. */
const scheduled = {
  mode: Mode.optional(),
  counter: z.int().min(0).optional(),
  logRemoved: z.boolean().optional(),
  /**
   * On a full set of rows that stands for changes, not for a first run: after a lost record, a new epoch or simply time.
   * Whoever logs changes compares it with the rows already known instead of logging every row as added.
   */
  resync: z.boolean().optional(),
  /** Set when the query is `SELECT * FROM table`, so that the rows may be asked for under the table's own name. */
  table: z.string().min(1).max(limits.nameBytes).optional(),
}

/** All rows of a query at one moment. */
export const SnapshotRecord = z.looseObject({
  ...head,
  kind: z.literal('snapshot'),
  name: QueryName,
  columns: Columns,
  rows: Rows,
  ...scheduled,
})

/** The change since the record of the same name and epoch with seq `base`. Both lists empty: nothing changed. */
export const DeltaRecord = z.looseObject({
  ...head,
  seq: Seq,
  kind: z.literal('delta'),
  name: QueryName,
  base: Seq,
  columns: Columns,
  added: Rows,
  removed: Rows,
  ...scheduled,
})

export const answerStatuses = ['ok', 'failed', 'cancelled', 'timeout', 'denylisted', 'refused'] as const

/** One part of a device's answer to a query; the last part (part = parts - 1) carries the stats. */
export const AnswerRecord = z.looseObject({
  ...head,
  kind: z.literal('answer'),
  queryId: QueryId,
  status: z.enum(answerStatuses),
  message: z.string().max(4096).optional(),
  columns: z.array(z.string().max(limits.nameBytes)).max(limits.columns),
  rows: Rows,
  part: z.int().min(0),
  parts: z.int().min(1).max(10_000),
  truncated: z.enum(['rows', 'bytes']).optional(),
  warnings: z.array(z.string().max(1024)).max(100).optional(),
  stats: z
    .looseObject({
      wallTimeMs: z.number().min(0).optional(),
      userTimeMs: z.number().min(0).optional(),
      systemTimeMs: z.number().min(0).optional(),
      memoryBytes: z.number().min(0).optional(),
    })
    .optional(),
})

/** What the agent reports of itself: `facts` about the device, or one line of its log. */
export const StatusRecord = z.looseObject({
  ...head,
  kind: z.literal('status'),
  severity: z.enum(['info', 'warning', 'error']).optional(),
  message: z.string().max(4096).optional(),
  facts: z.record(z.string().max(128), z.unknown()).optional(),
})

/** Records from..to of this epoch will never come, and why. */
export const GapRecord = z.looseObject({
  ...head,
  seq: Seq,
  kind: z.literal('gap'),
  from: Seq,
  to: Seq,
  reason: z.enum(['outbox-full', 'outbox-damaged', 'too-large', 'operator']),
})

/** Things that happened, never to be compared with earlier ones. */
export const EventRecord = z.looseObject({
  ...head,
  kind: z.literal('event'),
  name: QueryName,
  columns: Columns,
  rows: Rows,
})

/** A kind from a later version: kept and counted, not understood. */
const UnknownRecord = z.looseObject({ ...head, kind: z.string().min(1).max(64) })

export type SnapshotRecord = z.infer<typeof SnapshotRecord>
export type DeltaRecord = z.infer<typeof DeltaRecord>
export type AnswerRecord = z.infer<typeof AnswerRecord>
export type StatusRecord = z.infer<typeof StatusRecord>
export type GapRecord = z.infer<typeof GapRecord>
export type EventRecord = z.infer<typeof EventRecord>
export type KnownRecord = SnapshotRecord | DeltaRecord | AnswerRecord | StatusRecord | GapRecord | EventRecord
export type DeviceRecord = KnownRecord | z.infer<typeof UnknownRecord>

const schemas = {
  snapshot: SnapshotRecord,
  delta: DeltaRecord,
  answer: AnswerRecord,
  status: StatusRecord,
  gap: GapRecord,
  event: EventRecord,
} as const

export function isKnownRecord(record: DeviceRecord): record is KnownRecord {
  return Object.hasOwn(schemas, record.kind)
}

export const clockStates = ['synced', 'unsynced'] as const

const EnvelopeHead = z.looseObject({
  v: z.int().min(1),
  device: DeviceId,
  epoch: Epoch.optional(),
  sentMs: AtMs.optional(),
  bootId: z.string().max(64).optional(),
  uptimeMs: z.number().min(0).optional(),
  clock: z.enum(clockStates).optional(),
  records: z.array(z.unknown()).min(1),
})

/** What one publish carries. Without `epoch` its records are unsequenced: kept, but outside the ledger's proof. */
export type Envelope = z.infer<typeof EnvelopeHead> & { records: DeviceRecord[] }

export type EnvelopeEncoding = 'json' | 'br'

/** Checks one record that came from outside. Throws Refusal. */
export function checkRecord(value: unknown): DeviceRecord {
  const kind = (value as { kind?: unknown } | null)?.kind
  const schema =
    typeof kind === 'string' && Object.hasOwn(schemas, kind) ? schemas[kind as keyof typeof schemas] : UnknownRecord
  const record = parse(schema, value, 'record') as DeviceRecord
  if (!isKnownRecord(record)) return record
  switch (record.kind) {
    case 'snapshot':
    case 'event':
      checkColumnar(record.columns, record.rows)
      break
    case 'answer':
      checkColumnar(record.columns, record.rows)
      if (record.part >= record.parts) throw new Refusal('bad-shape', `part ${record.part} of ${record.parts}`)
      break
    case 'delta':
      checkColumnar(record.columns, record.added, 'added')
      checkColumnar(record.columns, record.removed, 'removed')
      if (record.base >= record.seq)
        throw new Refusal('bad-shape', `base ${record.base} is not before seq ${record.seq}`)
      break
    case 'gap':
      if (record.to < record.from) throw new Refusal('bad-shape', `gap from ${record.from} to ${record.to}`)
      break
    case 'status':
      break
  }
  return record
}

/** Bytes for `up` (json) or `up/br`. Throws Refusal when the result is over a limit. */
export function encodeEnvelope(envelope: Envelope, encoding: EnvelopeEncoding): Buffer {
  const json = Buffer.from(JSON.stringify(envelope))
  if (json.byteLength > limits.envelopeBytes) throw new Refusal('too-large', `an envelope of ${json.byteLength} bytes`)
  const payload = encoding === 'br' ? compress('br', json) : json
  if (payload.byteLength > limits.payloadBytes)
    throw new Refusal('too-large', `a payload of ${payload.byteLength} bytes`)
  return payload
}

/**
 * Decodes and checks a publish of `device`. Throws Refusal with a named reason for anything that is not a whole,
 * valid envelope of that device.
 */
export function decodeEnvelope(payload: Uint8Array, encoding: EnvelopeEncoding, device: DeviceId): Envelope {
  if (payload.byteLength > limits.payloadBytes)
    throw new Refusal('too-large', `a payload of ${payload.byteLength} bytes`)
  const json = encoding === 'br' ? decompress('br', payload, limits.envelopeBytes) : payload
  const value = parseJson(json)
  const version = (value as { v?: unknown } | null)?.v
  if (typeof version === 'number' && version > protocolVersion) {
    throw new Refusal('version-unsupported', `envelope version ${version}; this side speaks up to ${protocolVersion}`)
  }
  const head = parse(EnvelopeHead, value, 'envelope')
  if (head.device !== device) throw new Refusal('wrong-device', `an envelope of ${head.device} published by ${device}`)
  if (head.records.length > limits.recordsPerEnvelope) {
    throw new Refusal('too-many-records', `${head.records.length} records in one envelope`)
  }
  const seen = new Set<number>()
  const records = head.records.map((raw) => {
    const record = checkRecord(raw)
    if (head.epoch === undefined) {
      if (record.seq !== undefined) throw new Refusal('bad-shape', 'a record has seq but the envelope has no epoch')
    } else if (record.seq === undefined) {
      throw new Refusal('bad-shape', 'the envelope has an epoch but a record has no seq')
    } else if (seen.has(record.seq)) {
      throw new Refusal('duplicate-seq', `seq ${record.seq} twice in one envelope`)
    } else seen.add(record.seq)
    return record
  })
  return { ...head, records }
}

/** Parses with a zod schema; a failure becomes a Refusal that names the first field at fault. */
export function parse<T extends z.ZodType>(schema: T, value: unknown, what: string): z.output<T> {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  const path = issue === undefined || issue.path.length === 0 ? '' : ` ${issue.path.join('.')}`
  throw new Refusal('bad-shape', `${what}${path}: ${issue?.message ?? 'invalid'}`)
}
