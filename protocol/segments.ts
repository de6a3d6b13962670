// A segment is one numbered, compressed, signed file of what a site has to tell the centre. The same bytes travel over
// HTTPS, on a USB stick or through a one-way link.
//   file = compact JWS of the header (typ tg-segment), one LF, body
//   body = JSON lines, one item each, compressed with the header's codec
// The header names the body's hash and the hash of the previous segment file of the same chain, so that a missing,
// swapped or altered segment shows. A chain begins when a gateway's store is made; its segments are numbered from 1.
import { createHash } from 'node:crypto'
import * as z from 'zod'
import { checkColumnar, type Columnar } from './columnar.ts'
import { codecs, compress, decompress, type Codec } from './compression.ts'
import { DeviceId, Epoch, QueryId, QueryName, SiteId } from './ids.ts'
import { parseJson } from './json.ts'
import { verifyJws, type Signer, type TrustedKey } from './jws.ts'
import { limits } from './limits.ts'
import { queryStates } from './query-states.ts'
import { checkRecord, clockStates, parse, type DeviceRecord } from './records.ts'
import { Refusal } from './refusal.ts'
import { protocolVersion } from './version.ts'

/** What goes first: answers and the life of queries, then the newest state, then every record in order. */
export const lanes = ['answers', 'state', 'history'] as const
export type Lane = (typeof lanes)[number]

const AtMs = z.int().min(0)
const Sha256 = z.string().regex(/^[0-9a-f]{64}$/)

export const SegmentHeader = z.looseObject({
  v: z.int().min(1),
  site: SiteId,
  chain: Epoch,
  n: z.int().min(1),
  lane: z.enum(lanes),
  /** SHA-256 of the whole file of segment n - 1; null for the first. */
  prev: Sha256.nullable(),
  createdMs: AtMs,
  codec: z.enum(codecs),
  bodyBytes: z.int().min(0),
  bodySha256: Sha256,
  items: z.int().min(0),
  /** Journal ids of the records inside, for people who search; null when there are none. */
  records: z.looseObject({ from: z.int(), to: z.int(), count: z.int().min(0) }).nullable(),
})
export type SegmentHeader = z.infer<typeof SegmentHeader>

/** A record as the gateway stored it. In the ledger when it has epoch and seq. */
const RecordItem = z.looseObject({
  t: z.literal('record'),
  device: DeviceId,
  epoch: Epoch.optional(),
  receivedAtMs: AtMs,
  /** By the gateway's clock, see observed.ts; the record's own atMs is the device's claim. */
  observedAtMs: AtMs.optional(),
  clock: z.enum(clockStates).optional(),
  record: z.custom<DeviceRecord>((value) => typeof value === 'object' && value !== null),
})

/** Newest rows of one query on one device, ahead of the records that led to them. Not a record: not in the ledger. */
const TableItem = z.looseObject({
  t: z.literal('table'),
  device: DeviceId,
  name: QueryName,
  epoch: Epoch.optional(),
  /** The record after which the table looked so. */
  seq: z.int().min(1).optional(),
  observedAtMs: AtMs,
  receivedAtMs: AtMs,
  columns: z.array(z.string().max(limits.nameBytes)).max(limits.columns),
  rows: z.custom<Columnar>((value) => Array.isArray(value)),
})

/** A query moved on, on one device; `device` is absent when it is about the site as a whole (at-site, vetoed). */
const QueryItem = z.looseObject({
  t: z.literal('query'),
  queryId: QueryId,
  device: DeviceId.optional(),
  state: z.enum(queryStates),
  atMs: AtMs,
  reason: z.string().max(1024).optional(),
})

/** A device came, went, or was seen. */
const DeviceItem = z.looseObject({
  t: z.literal('device'),
  device: DeviceId,
  state: z.enum(['here', 'gone']),
  atMs: AtMs,
})

/** What the gateway has accounted for of one epoch of one device, at the time the segment was made. */
const LedgerItem = z.looseObject({
  t: z.literal('ledger'),
  device: DeviceId,
  epoch: Epoch,
  received: z.array(z.tuple([z.int(), z.int()])).max(10_000),
  lost: z.array(z.looseObject({ from: z.int(), to: z.int(), reason: z.string().max(64) })).max(10_000),
})

const items = {
  record: RecordItem,
  table: TableItem,
  query: QueryItem,
  device: DeviceItem,
  ledger: LedgerItem,
} as const

export type RecordItem = z.infer<typeof RecordItem>
export type TableItem = z.infer<typeof TableItem>
export type QueryItem = z.infer<typeof QueryItem>
export type DeviceItem = z.infer<typeof DeviceItem>
export type LedgerItem = z.infer<typeof LedgerItem>
export type SegmentItem = RecordItem | TableItem | QueryItem | DeviceItem | LedgerItem

export interface SegmentInput {
  site: SiteId
  chain: Epoch
  n: number
  lane: Lane
  prev: string | null
  createdMs: number
  codec: Codec
  records: SegmentHeader['records']
  /** Items, each already JSON text in one line. */
  lines: readonly string[]
}

/** Builds and signs a segment file. Throws Refusal `too-large` when it would be over the limits. */
export async function encodeSegment(input: SegmentInput, signer: Signer): Promise<{ file: Buffer; sha256: string }> {
  const { lines, codec, ...rest } = input
  const body = compress(codec, Buffer.from(lines.map((line) => `${line}\n`).join('')))
  const header: SegmentHeader = {
    v: protocolVersion,
    ...rest,
    codec,
    bodyBytes: body.byteLength,
    bodySha256: sha256Hex(body),
    items: lines.length,
  }
  const file = Buffer.concat([Buffer.from(`${await signer.sign('tg-segment', header)}\n`), body])
  if (file.byteLength > limits.segmentBytes) throw new Refusal('too-large', `a segment of ${file.byteLength} bytes`)
  return { file, sha256: sha256Hex(file) }
}

export interface DecodedSegment {
  header: SegmentHeader
  items: SegmentItem[]
  /** Lines of a type this version does not know: counted, not read. */
  unknownItems: number
  /** SHA-256 of the file: what the next segment's `prev` must be, and what the receipt names. */
  sha256: string
}

/**
 * Checks signature, hashes and every item of a segment file of `site`. `keys` are that site's, with the site's id as
 * owner. The chain (n, prev) is for the caller to check. Throws Refusal.
 */
export async function decodeSegment(
  file: Uint8Array,
  site: SiteId,
  keys: readonly TrustedKey[],
): Promise<DecodedSegment> {
  if (file.byteLength > limits.segmentBytes) throw new Refusal('too-large', `a segment of ${file.byteLength} bytes`)
  const newline = file.indexOf(0x0a)
  if (newline < 0 || newline > 8192) throw new Refusal('bad-shape', 'a segment starts with a signed header line')
  const { payload, signedBy } = await verifyJws(
    Buffer.from(file.subarray(0, newline)).toString('latin1'),
    'tg-segment',
    keys,
  )
  const value = parseJson(payload)
  const version = (value as { v?: unknown } | null)?.v
  if (typeof version === 'number' && version > protocolVersion) {
    throw new Refusal('version-unsupported', `segment version ${version}; this side speaks up to ${protocolVersion}`)
  }
  const header = parse(SegmentHeader, value, 'segment header')
  if (header.site !== site || signedBy.owner !== site) {
    throw new Refusal('wrong-site', `a segment of ${header.site}, signed by ${signedBy.owner}, sent as ${site}`)
  }
  const body = file.subarray(newline + 1)
  if (body.byteLength !== header.bodyBytes || sha256Hex(body) !== header.bodySha256) {
    throw new Refusal('bad-hash', `the body of segment ${header.n} is not the one that was signed`)
  }
  const text = decompress(header.codec, body, limits.segmentBodyBytes).toString('utf8')
  const lines = text === '' ? [] : text.slice(0, -1).split('\n')
  if (!(text === '' || text.endsWith('\n')) || lines.length !== header.items || lines.length > limits.itemsPerSegment) {
    throw new Refusal('bad-shape', `segment ${header.n} holds ${lines.length} items, its header says ${header.items}`)
  }
  let unknownItems = 0
  const decoded: SegmentItem[] = []
  for (const line of lines) {
    const item = decodeItem(line)
    if (item === undefined) unknownItems++
    else decoded.push(item)
  }
  return { header, items: decoded, unknownItems, sha256: sha256Hex(file) }
}

function decodeItem(line: string): SegmentItem | undefined {
  const value = parseJson(Buffer.from(line))
  const type = (value as { t?: unknown } | null)?.t
  if (typeof type !== 'string') throw new Refusal('bad-shape', 'a segment item has no type')
  if (!Object.hasOwn(items, type)) return undefined
  const item = parse(items[type as keyof typeof items], value, `segment item ${type}`) as SegmentItem
  if (item.t === 'record') checkRecord(item.record)
  if (item.t === 'table') checkColumnar(item.columns, item.rows)
  return item
}

export function sha256Hex(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
