// What crosses between the broker's thread and the journal's: many publishes as one message, their payloads in one
// buffer that is transferred, not copied; and one outcome for each.
import type { RefusalReason } from '../../protocol/refusal.ts'
import type { DeviceId } from '../../protocol/ids.ts'
import type { EnvelopeEncoding } from '../../protocol/records.ts'

export interface Publish {
  device: DeviceId
  encoding: EnvelopeEncoding
  payload: Uint8Array
}

/** Columns instead of objects: cloning a thousand small objects costs both threads more than storing them. */
export interface PackedBatch {
  /** The devices that occur, and for each publish the index of its own. */
  devices: DeviceId[]
  deviceOf: Uint16Array<ArrayBuffer>
  isBrotli: Uint8Array<ArrayBuffer>
  /** Where each payload ends in `bytes`. */
  ends: Uint32Array<ArrayBuffer>
  bytes: Uint8Array<ArrayBuffer>
}

/**
 * `stored`: everything new in the publish is on disk, `bytes` of JSON. `refused`: it can never be stored as it is; that it came is on
 * disk (kind 'refused'), except for `version-unsupported`, which a newer gateway could read. `over-share`: the device
 * holds so much of a journal that is getting full that it has to wait; nothing of the publish is kept.
 */
export type Outcome =
  | { state: 'stored'; stored: number; duplicates: number; bytes: number; lastId: number }
  | { state: 'refused'; reason: RefusalReason; message: string }
  | { state: 'over-share'; message: string }

export interface Committed {
  /** Newest record id on disk. */
  lastId: number
  /** How many of the batch's new records are answers. */
  answers: number
  /** How many new records the batch held. */
  stored: number
}

export interface PackedOutcomes {
  /** Four numbers for each publish: stored, duplicates, bytes, lastId. */
  numbers: Float64Array<ArrayBuffer>
  notStored: (Exclude<Outcome, { state: 'stored' }> & { index: number })[]
  committed: Committed
}

/** At most 65,536 publishes with fewer than 4 GiB. */
export function packBatch(publishes: readonly Publish[], totalBytes: number): PackedBatch {
  const indexes = new Map<DeviceId, number>()
  const batch: PackedBatch = {
    devices: [],
    deviceOf: new Uint16Array(publishes.length),
    isBrotli: new Uint8Array(publishes.length),
    ends: new Uint32Array(publishes.length),
    bytes: new Uint8Array(totalBytes),
  }
  let end = 0
  for (const [index, { device, encoding, payload }] of publishes.entries()) {
    let deviceIndex = indexes.get(device)
    if (deviceIndex === undefined) {
      deviceIndex = batch.devices.push(device) - 1
      indexes.set(device, deviceIndex)
    }
    batch.deviceOf[index] = deviceIndex
    batch.isBrotli[index] = encoding === 'br' ? 1 : 0
    batch.bytes.set(payload, end)
    end += payload.byteLength
    batch.ends[index] = end
  }
  return batch
}

export function unpackBatch({ devices, deviceOf, isBrotli, ends, bytes }: PackedBatch): Publish[] {
  return Array.from(ends, (end, index) => ({
    device: devices[deviceOf[index] as number] as DeviceId,
    encoding: isBrotli[index] === 1 ? 'br' : 'json',
    payload: bytes.subarray(index === 0 ? 0 : ends[index - 1], end),
  }))
}

export function packOutcomes(outcomes: readonly Outcome[], committed: Committed): PackedOutcomes {
  const numbers = new Float64Array(outcomes.length * 4)
  const notStored: PackedOutcomes['notStored'] = []
  for (const [index, outcome] of outcomes.entries()) {
    if (outcome.state !== 'stored') notStored.push({ ...outcome, index })
    else numbers.set([outcome.stored, outcome.duplicates, outcome.bytes, outcome.lastId], index * 4)
  }
  return { numbers, notStored, committed }
}

export function unpackOutcomes({ numbers, notStored }: PackedOutcomes): Outcome[] {
  const outcomes: Outcome[] = []
  for (let at = 0; at < numbers.length; at += 4) {
    const [stored = 0, duplicates = 0, bytes = 0, lastId = 0] = numbers.subarray(at, at + 4)
    outcomes.push({ state: 'stored', stored, duplicates, bytes, lastId })
  }
  for (const { index, ...outcome } of notStored) outcomes[index] = outcome
  return outcomes
}
