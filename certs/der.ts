// A strict reader of DER (X.690), and the little of a writer that revocation lists need. @peculiar/x509 1.14 is not used for lists: it drops
// the extensions of one without nextUpdate, takes bytes that no encoder writes, and gives up at some 1,300 revoked certificates.

export interface DerValue {
  tag: number
  content: Buffer
  /** Tag, length and content. */
  raw: Buffer
}

export const derTags = {
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  enumerated: 0x0a,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  boolean: 0x01,
  context0: 0xa0,
} as const

/** The one value that fills `bytes`; throws RangeError for anything else. */
export function readDer(bytes: Buffer): DerValue {
  const value = readAt(bytes, 0)
  if (value.raw.length !== bytes.length) throw new RangeError(`${bytes.length - value.raw.length} bytes follow its end`)
  return value
}

/** The values inside a SEQUENCE, SET or explicit tag. */
export function derChildren(parent: DerValue): DerValue[] {
  const children: DerValue[] = []
  for (let at = 0; at < parent.content.length;) {
    const child = readAt(parent.content, at)
    children.push(child)
    at += child.raw.length
  }
  return children
}

function readAt(bytes: Buffer, start: number): DerValue {
  const tag = bytes[start]
  const first = bytes[start + 1]
  if (tag === undefined || first === undefined) throw new RangeError('it ends too early')
  if ((tag & 0x1f) === 0x1f)
    throw new RangeError(`it has the tag 0x${tag.toString(16)}, which no certificate or list uses`)
  let headerBytes = 2
  let length = first
  if (first >= 0x80) {
    const lengthBytes = first & 0x7f
    headerBytes += lengthBytes
    if (lengthBytes === 0 || lengthBytes > 4 || bytes.length < start + headerBytes)
      throw new RangeError('a length cannot be read')
    length = bytes.readUIntBE(start + 2, lengthBytes)
    if (length < 0x80 || length < 2 ** (8 * (lengthBytes - 1)))
      throw new RangeError('a length is not written as DER asks')
  }
  const end = start + headerBytes + length
  if (end > bytes.length) throw new RangeError('it ends too early')
  return { tag, content: bytes.subarray(start + headerBytes, end), raw: bytes.subarray(start, end) }
}

/** Dotted text of an OBJECT IDENTIFIER. */
export function derOid(value: DerValue | undefined): string {
  const { content } = expectTag(value, derTags.oid)
  const arcs: number[] = []
  let arc = 0
  for (const byte of content) {
    arc = arc * 128 + (byte & 0x7f)
    if (byte < 0x80) {
      arcs.push(arc)
      arc = 0
    }
  }
  const [head = 0, ...rest] = arcs
  const top = Math.min(2, Math.floor(head / 40))
  return [top, head - top * 40, ...rest].join('.')
}

/** Milliseconds of a UTCTime or GeneralizedTime as RFC 5280 §4.1.2.5 writes them: in UTC, with seconds, without fractions. */
export function derTimeMs(value: DerValue | undefined): number {
  const { tag, content } = value?.tag === derTags.utcTime ? value : expectTag(value, derTags.generalizedTime)
  const text = content.toString('latin1')
  const century = Number(text.slice(0, 2)) < 50 ? '20' : '19'
  const full = tag === derTags.utcTime ? century + text : text
  const iso = full.replace(/^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z')
  const ms = iso === full ? NaN : Date.parse(iso)
  if (Number.isNaN(ms)) throw new RangeError(`${JSON.stringify(text.slice(0, 20))} is not a time`)
  return ms
}

/** Lower-case hex of a non-negative INTEGER without leading zeros. */
export function derSerial(value: DerValue | undefined): string {
  const { content } = expectTag(value, derTags.integer)
  const [first, second] = content
  if (first === undefined || first >= 0x80 || (first === 0 && second !== undefined && second < 0x80))
    throw new RangeError('a number is negative or not written as DER asks')
  return content.toString('hex').replace(/^0+(?=.)/, '')
}

export function expectTag(value: DerValue | undefined, tag: number): DerValue {
  if (value?.tag === tag) return value
  throw new RangeError(
    `tag 0x${tag.toString(16)} is expected${value === undefined ? ', and it ends' : `, not 0x${value.tag.toString(16)}`}`,
  )
}

/** One value with these contents. */
export function writeDer(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const length = contents.reduce((sum, content) => sum + content.length, 0)
  const hex = length.toString(16)
  const lengthBytes = Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex')
  const header = length < 0x80 ? [tag, length] : [tag, 0x80 | lengthBytes.length, ...lengthBytes]
  return Buffer.concat([Buffer.from(header), ...contents])
}

/** A non-negative INTEGER given in hex. */
export function writeDerInteger(hex: string): Buffer {
  const even = hex.padStart(hex.length + (hex.length % 2), '0').replace(/^(00)+(?=..)/, '')
  const bytes = Buffer.from(even, 'hex')
  return writeDer(derTags.integer, ...((bytes[0] as number) >= 0x80 ? [Buffer.from([0])] : []), bytes)
}

/** An OBJECT IDENTIFIER given in dots. */
export function writeDerOid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  const bytes = [first * 40 + second, ...rest].flatMap((arc) => {
    const groups = [arc & 0x7f]
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) groups.unshift((left & 0x7f) | 0x80)
    return groups
  })
  return writeDer(derTags.oid, Buffer.from(bytes))
}

/** A moment as RFC 5280 §4.1.2.5 asks: UTCTime until 2049, GeneralizedTime after, to the second. */
export function writeDerTime(ms: number): Buffer {
  const text = `${new Date(ms).toISOString().replaceAll(/[-:T]|\.\d+Z$/g, '')}Z`
  return Number(text.slice(0, 4)) < 2050
    ? writeDer(derTags.utcTime, Buffer.from(text.slice(2)))
    : writeDer(derTags.generalizedTime, Buffer.from(text))
}
