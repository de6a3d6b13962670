// Commands on their way down one connection: QoS 1, a few at a time, each known until its PUBACK. Written straight to
// the connection with message ids of our own; aedes itself sends nothing above QoS 0, so the ids cannot collide.
import mqttPacket from 'mqtt-packet'

export interface DownLinkOptions {
  write(bytes: Buffer): void
  maxOutstanding: number
  ackTimeoutMs: number
  /** The oldest command was not acknowledged in time. */
  onTimeout(): void
}

interface Command {
  topic: string
  payload: Buffer
  resolve(result: 'acked' | 'gone'): void
}

export class DownLink {
  readonly #options: DownLinkOptions
  readonly #outstanding = new Map<number, Command>()
  readonly #waiting: Command[] = []
  #nextId = 1
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(options: DownLinkOptions) {
    this.#options = options
  }

  /** Resolves `acked` on the PUBACK, `gone` when the connection ends before. */
  send(topic: string, payload: Buffer): Promise<'acked' | 'gone'> {
    if (this.#isClosed) return Promise.resolve('gone')
    return new Promise((resolve) => {
      this.#waiting.push({ topic, payload, resolve })
      this.#writeWaiting()
    })
  }

  acked(messageId: number): void {
    const command = this.#outstanding.get(messageId)
    if (command === undefined) return
    this.#outstanding.delete(messageId)
    command.resolve('acked')
    this.#restartTimer()
    this.#writeWaiting()
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
    for (const { resolve } of [...this.#outstanding.values(), ...this.#waiting]) resolve('gone')
    this.#outstanding.clear()
    this.#waiting.length = 0
  }

  #writeWaiting(): void {
    while (this.#outstanding.size < this.#options.maxOutstanding) {
      const command = this.#waiting.shift()
      if (command === undefined) return
      const messageId = this.#freeId()
      this.#outstanding.set(messageId, command)
      const { topic, payload } = command
      this.#options.write(
        mqttPacket.generate({ cmd: 'publish', topic, payload, qos: 1, messageId, retain: false, dup: false }),
      )
      if (this.#outstanding.size === 1) this.#restartTimer()
    }
  }

  #freeId(): number {
    while (this.#outstanding.has(this.#nextId)) this.#nextId = (this.#nextId % 65_535) + 1
    const id = this.#nextId
    this.#nextId = (id % 65_535) + 1
    return id
  }

  #restartTimer(): void {
    clearTimeout(this.#timer)
    if (this.#outstanding.size > 0) this.#timer = setTimeout(this.#options.onTimeout, this.#options.ackTimeoutMs)
  }
}
