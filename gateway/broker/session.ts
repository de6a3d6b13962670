// One connection of a device, from the end of its handshake to its close. aedes pulls bytes from the socket with
// read(); the session stands in between, so that a packet over the limits is never buffered, and so that reading stops
// while the device is over its rate or the journal has too much waiting.
import type { TLSSocket } from 'node:tls'
import type { Client } from 'aedes'
import type { DeviceId } from '../../protocol/ids.ts'
import type { DevicePeer } from './admission.ts'
import { DownLink } from './down-link.ts'
import { PacketGate, type PacketLimits } from './packet-gate.ts'
import { DeviceRefusal, type BrokerReason } from './reasons.ts'
import { TokenBucket } from './token-bucket.ts'

export interface SessionLimits {
  packets: PacketLimits
  packetsPerSecond: number
  /** Bytes read, and bytes of JSON that came out of Brotli. */
  bytesPerSecond: number
  maxOutstandingCommands: number
  ackTimeoutMs: number
  /** How long a publish may wait for the disk; never longer than 0.8 of the device's keepalive. */
  holdMs: number
}

export interface SessionOptions {
  peer: DevicePeer
  socket: TLSSocket
  limits: SessionLimits
  /** Whether reading must stop for the journal's sake; resumeReading() is called when that is over. */
  isCongested(): boolean
  /** The session ends itself. */
  onRefused(refusal: DeviceRefusal): void
}

export class Session {
  readonly device: DeviceId
  readonly serial: string
  readonly remote: string
  readonly down: DownLink
  client: Client | undefined
  /** Why checkConnect refused it; said in the CONNACK by aedes' authenticate. */
  connectRefusal: DeviceRefusal | undefined
  isSubscribed = false
  isEnded = false
  readonly #socket: TLSSocket
  readonly #options: SessionOptions
  readonly #gate: PacketGate
  readonly #packetRate: TokenBucket
  readonly #byteRate: TokenBucket
  #holdMs: number
  #rateTimer: NodeJS.Timeout | undefined
  #isHeld = false
  #pending = 0
  /** When the oldest thing that waits for the disk began to wait, or the last one was done. */
  #waitingSinceMs = 0

  constructor(options: SessionOptions) {
    const { peer, socket, limits } = options
    this.device = peer.device
    this.serial = peer.serial
    this.remote = `${socket.remoteAddress ?? '?'}:${socket.remotePort ?? 0}`
    this.#socket = socket
    this.#options = options
    this.#holdMs = limits.holdMs
    this.#gate = new PacketGate(limits.packets)
    this.#packetRate = new TokenBucket(limits.packetsPerSecond, 2 * limits.packetsPerSecond)
    this.#byteRate = new TokenBucket(limits.bytesPerSecond, 2 * limits.bytesPerSecond)
    this.down = new DownLink({
      write: (bytes) => void socket.write(bytes),
      maxOutstanding: limits.maxOutstandingCommands,
      ackTimeoutMs: limits.ackTimeoutMs,
      onTimeout: () => this.refuse(new DeviceRefusal('no-ack')),
    })
    const read = socket.read.bind(socket)
    socket.read = (size?: number) => (size === 0 ? (read(0) as null) : this.#read(read))
  }

  /** Ends the connection for a reason of ours. */
  refuse(refusal: DeviceRefusal): void {
    if (this.isEnded) return
    this.isEnded = true
    this.#options.onRefused(refusal)
    this.#socket.destroy()
  }

  kick(reason: BrokerReason): void {
    this.refuse(new DeviceRefusal(reason))
  }

  /** The connection is gone. */
  ended(): void {
    this.isEnded = true
    clearTimeout(this.#rateTimer)
    this.down.close()
  }

  setKeepalive(seconds: number): void {
    this.#holdMs = Math.min(this.#options.limits.holdMs, seconds * 800)
  }

  publishSubmitted(): void {
    if (this.#pending++ === 0 && !this.#isHeld) this.#waitingSinceMs = performance.now()
  }

  publishDone(): void {
    this.#pending--
    this.#waitingSinceMs = performance.now()
  }

  /** Counts bytes that decompression added against the device's rate. */
  charge(bytes: number): void {
    this.#byteRate.take(bytes)
  }

  /** What waits for the disk has waited too long: past this the device would think us dead anyway. */
  isStalled(nowMs: number): boolean {
    return (this.#pending > 0 || this.#isHeld) && nowMs - this.#waitingSinceMs > this.#holdMs
  }

  /** The journal has room again. */
  resumeReading(): void {
    if (!this.#isHeld) return
    this.#isHeld = false
    this.#socket.emit('readable')
  }

  #read(read: () => unknown): Buffer | null {
    if (this.isEnded || this.#mustWait()) return null
    const chunk = read() as Buffer | null
    if (chunk === null) return null
    try {
      this.#packetRate.take(this.#gate.pass(chunk))
      this.#byteRate.take(chunk.length)
    } catch (error) {
      this.refuse(error as DeviceRefusal)
      return null
    }
    return chunk
  }

  #mustWait(): boolean {
    if (this.#options.isCongested()) {
      if (!this.#isHeld && this.#pending === 0) this.#waitingSinceMs = performance.now()
      this.#isHeld = true
      return true
    }
    const waitMs = Math.min(Math.max(this.#packetRate.waitMs(), this.#byteRate.waitMs()), this.#holdMs)
    if (waitMs === 0) return false
    this.#rateTimer ??= setTimeout(() => {
      this.#rateTimer = undefined
      this.#socket.emit('readable')
    }, waitMs)
    return true
  }
}
