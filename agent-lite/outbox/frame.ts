// One record on disk. Its head has a checksum of its own, so that a damaged body still says which record it was; and it
// names the span of sequence numbers that were under way when it was written, so that a torn write says what it held.
//   0 magic "TGf1" · 4 body bytes u32 · 8 seq u48 · 14 flags u8 · 15 seq - span.from u24 · 18 span.to - seq u24 ·
//   21 JSON bytes u24 · 24 CRC-32 of the body · 28 CRC-32 of bytes 0..27 · 32 body
// All little endian. The body is the record as JSON, Brotli-compressed where that saves something.
import { brotliCompressSync, brotliDecompressSync, constants } from 'node:zlib'
import { limits } from '../../protocol/limits.ts'
import { crc32 } from './crc32.ts'

export const frameHeadBytes = 32
/** Less than the smallest record needs: bounds how many frames a stretch of damage can have held. */
export const frameMinBytes = frameHeadBytes + 24
const magic = 0x31664754
const flagBrotli = 1
const flagGap = 2
/** Below this, Brotli costs more time than it saves bytes. */
const compressFromBytes = 256

/**
 * What was under way at a write: every seq below `from` was durable by then, or named in a gap; `to` is the highest that
 * had been written.
 */
export interface Span {
  from: number
  to: number
}

/** How far a span may reach from a frame's own seq. */
export const spanMax = 2 ** 24 - 1

export interface Frame {
  seq: number
  span: Span
  isGap: boolean
  /** Of the record before compression. */
  jsonBytes: number
  /** Where the frame begins in its file, and how long it is with its head. */
  offset: number
  byteCount: number
}

/** A record's JSON as it is kept on disk. */
export interface Body {
  bytes: Buffer
  isBrotli: boolean
  jsonBytes: number
}

export function encodeBody(json: string): Body {
  const plain = Buffer.from(json)
  if (plain.byteLength >= compressFromBytes) {
    const bytes = brotliCompressSync(plain, {
      params: { [constants.BROTLI_PARAM_QUALITY]: 4, [constants.BROTLI_PARAM_SIZE_HINT]: plain.byteLength },
    })
    if (bytes.byteLength < plain.byteLength) return { bytes, isBrotli: true, jsonBytes: plain.byteLength }
  }
  return { bytes: plain, isBrotli: false, jsonBytes: plain.byteLength }
}

export function encodeFrame(body: Body, seq: number, span: Span, isGap: boolean): Buffer {
  const head = Buffer.alloc(frameHeadBytes)
  head.writeUInt32LE(magic, 0)
  head.writeUInt32LE(body.bytes.byteLength, 4)
  head.writeUIntLE(seq, 8, 6)
  head.writeUInt8((body.isBrotli ? flagBrotli : 0) | (isGap ? flagGap : 0), 14)
  head.writeUIntLE(seq - span.from, 15, 3)
  head.writeUIntLE(span.to - seq, 18, 3)
  head.writeUIntLE(body.jsonBytes, 21, 3)
  head.writeUInt32LE(crc32(body.bytes), 24)
  head.writeUInt32LE(crc32(head.subarray(0, 28)), 28)
  return Buffer.concat([head, body.bytes])
}

/** The frame that begins at `offset`, by its head alone; undefined when there is no valid head. */
export function readHead(file: Buffer, offset: number): Frame | undefined {
  if (offset + frameHeadBytes > file.byteLength || file.readUInt32LE(offset) !== magic) return undefined
  if (crc32(file.subarray(offset, offset + 28)) !== file.readUInt32LE(offset + 28)) return undefined
  const seq = file.readUIntLE(offset + 8, 6)
  return {
    seq,
    span: { from: seq - file.readUIntLE(offset + 15, 3), to: seq + file.readUIntLE(offset + 18, 3) },
    isGap: (file.readUInt8(offset + 14) & flagGap) !== 0,
    jsonBytes: file.readUIntLE(offset + 21, 3),
    offset,
    byteCount: frameHeadBytes + file.readUInt32LE(offset + 4),
  }
}

/** Whether the body of a frame lies whole in the file and matches its checksum. */
export function isBodyIntact(file: Buffer, frame: Frame): boolean {
  const end = frame.offset + frame.byteCount
  if (end > file.byteLength) return false
  return crc32(file.subarray(frame.offset + frameHeadBytes, end)) === file.readUInt32LE(frame.offset + 24)
}

/** The record's JSON from the bytes of a whole frame; undefined when they are damaged. */
export function decodeFrame(bytes: Buffer, seq: number): string | undefined {
  const frame = readHead(bytes, 0)
  if (frame === undefined || frame.seq !== seq || frame.byteCount !== bytes.byteLength || !isBodyIntact(bytes, frame)) {
    return undefined
  }
  const body = bytes.subarray(frameHeadBytes)
  try {
    const isBrotli = (bytes.readUInt8(14) & flagBrotli) !== 0
    return (isBrotli ? brotliDecompressSync(body, { maxOutputLength: limits.envelopeBytes }) : body).toString('utf8')
  } catch {
    return undefined
  }
}

/** What a file holds: whole frames, and what is known of the rest. */
export interface Scan {
  frames: Frame[]
  /** Heads whose body is damaged or cut off: these records are lost. */
  damaged: Frame[]
  /** Stretches without a readable head: how many records they can have held at most, and whether no frame follows. */
  unknown: { maxFrames: number; isLast: boolean }[]
}

/** Reads every frame of a file, and finds its way again after damage. */
export function scanFile(file: Buffer): Scan {
  const scan: Scan = { frames: [], damaged: [], unknown: [] }
  let offset = 0
  while (offset < file.byteLength) {
    const frame = readHead(file, offset)
    if (frame !== undefined) {
      const isIntact = isBodyIntact(file, frame)
      ;(isIntact ? scan.frames : scan.damaged).push(frame)
      // A damaged body is skipped whole: its length is under the head's checksum.
      offset += frame.byteCount
      continue
    }
    const next = nextHead(file, offset + 1)
    const end = next?.offset ?? file.byteLength
    scan.unknown.push({ maxFrames: Math.floor((end - offset) / frameMinBytes), isLast: next === undefined })
    offset = end
  }
  return scan
}

export function isWhole(scan: Scan): boolean {
  return scan.damaged.length === 0 && scan.unknown.length === 0
}

function nextHead(file: Buffer, from: number): Frame | undefined {
  for (let at = file.indexOf('TGf1', from, 'latin1'); at >= 0; at = file.indexOf('TGf1', at + 1, 'latin1')) {
    const frame = readHead(file, at)
    if (frame !== undefined) return frame
  }
  return undefined
}
