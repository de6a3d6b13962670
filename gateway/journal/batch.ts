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

export interface PackedBatch {
  devices: DeviceId[]
  encodings: EnvelopeEncoding[]
  /** Where each payload ends in `bytes`. */
  ends: number[]
  bytes: Uint8Array<ArrayBuffer>
}

/**
 * `stored`: everything new in the publish is on disk, `bytes` of JSON. `refused`: it can never be stored as it is; that it came is on
 * disk (kind 'refused'), except for `version-unsupported`, which a newer gateway could read.
 */
export type Outcome =
  | { state: 'stored'; stored: number; duplicates: number; bytes: number; lastId: number }
  | { state: 'refused'; reason: RefusalReason; message: string }

export interface Committed {
  /** Newest record id on disk. */
  lastId: number
  /** How many of the batch's new records are answers. */
  answers: number
  /** How many new records the batch held. */
  stored: number
}

export function packBatch(publishes: readonly Publish[], totalBytes: number): PackedBatch {
  const bytes = new Uint8Array(totalBytes)
  const ends: number[] = []
  let end = 0
  for (const { payload } of publishes) {
    bytes.set(payload, end)
    end += payload.byteLength
    ends.push(end)
  }
  return {
    devices: publishes.map((publish) => publish.device),
    encodings: publishes.map((publish) => publish.encoding),
    ends,
    bytes,
  }
}

export function unpackBatch({ devices, encodings, ends, bytes }: PackedBatch): Publish[] {
  return devices.map((device, index) => ({
    device,
    encoding: encodings[index] ?? 'json',
    payload: bytes.subarray(index === 0 ? 0 : ends[index - 1], ends[index]),
  }))
}
