// Counts MQTT packets (3.1.1 §2.2) in the byte stream before aedes sees them: aedes has no size limit and would buffer
// a CONNECT of 256 MB from anybody. Works on whatever pieces TLS delivers; keeps no bytes.
import { DeviceRefusal } from './reasons.ts'

export interface PacketLimits {
  connectBytes: number
  publishBytes: number
  /** SUBSCRIBE, UNSUBSCRIBE, acknowledgements and pings. */
  otherBytes: number
}

const connect = 1
const publish = 3

export class PacketGate {
  readonly #limits: PacketLimits
  #hasConnected = false
  #type = 0
  /** Bytes of the length field so far; -1 while the first byte of a packet is due. */
  #lengthBytes = -1
  #remaining = 0

  constructor(limits: PacketLimits) {
    this.#limits = limits
  }

  /** How many packets begin in this chunk. Throws DeviceRefusal at the first header that may not pass. */
  pass(chunk: Uint8Array): number {
    let packets = 0
    let index = 0
    while (index < chunk.length) {
      if (this.#lengthBytes < 0) {
        this.#type = (chunk[index++] as number) >> 4
        this.#lengthBytes = 0
        this.#remaining = 0
        packets++
        if (!this.#hasConnected && this.#type !== connect) throw new DeviceRefusal('no-connect')
        this.#hasConnected = true
      } else if (this.#lengthBytes <= 4 && !this.#lengthDone) {
        this.#addLengthByte(chunk[index++] as number)
      }
      if (this.#lengthDone) {
        const skipped = Math.min(this.#remaining, chunk.length - index)
        index += skipped
        this.#remaining -= skipped
        if (this.#remaining === 0) {
          this.#lengthBytes = -1
          this.#lengthDone = false
        }
      }
    }
    return packets
  }

  #lengthDone = false

  #addLengthByte(byte: number): void {
    this.#remaining += (byte & 0x7f) * 128 ** this.#lengthBytes
    this.#lengthBytes++
    if (byte < 0x80) {
      this.#lengthDone = true
      this.#checkSize()
    } else if (this.#lengthBytes === 4) {
      throw new DeviceRefusal('malformed-packet', 'the length of a packet has more than four bytes')
    }
  }

  #checkSize(): void {
    const bytes = 1 + this.#lengthBytes + this.#remaining
    const { connectBytes, publishBytes, otherBytes } = this.#limits
    const limit = this.#type === connect ? connectBytes : this.#type === publish ? publishBytes : otherBytes
    if (bytes <= limit) return
    const what = this.#type === connect ? 'a CONNECT' : this.#type === publish ? 'a PUBLISH' : 'a packet'
    throw new DeviceRefusal(
      this.#type === connect ? 'connect-too-large' : 'packet-too-large',
      `${what} of ${bytes} bytes; at most ${limit} are allowed`,
    )
  }
}
