// What aedes keeps of sessions: who subscribed to what, and the hint. Nothing else: no message is ever queued here,
// since the truth about commands is the gateway's own table, and records never pass through aedes' fan-out.
// The shape is aedes-persistence 11 (abstract.js); sessions are forgotten at a restart, and devices subscribe again.
import { Readable } from 'node:stream'
import type { ISubscription } from 'mqtt-packet'
import type { DeviceId } from '../../protocol/ids.ts'
import { deviceTopic, hintTopic } from '../../protocol/topics.ts'

interface ClientRef {
  id: string
}

export interface SessionMemoryOptions {
  /** The hint as it is now, for a device that has just subscribed. */
  hint(): Buffer
  /** A device acknowledged a QoS 1 message. */
  onAck(client: ClientRef, messageId: number): void
}

export class SessionMemory {
  readonly #options: SessionMemoryOptions
  readonly #subscriptions = new Map<string, Map<string, ISubscription>>()

  constructor(options: SessionMemoryOptions) {
    this.#options = options
  }

  async setup(): Promise<void> {}

  async addSubscriptions({ id }: ClientRef, subscriptions: readonly ISubscription[]): Promise<void> {
    const known = this.#subscriptions.get(id) ?? new Map<string, ISubscription>()
    // aedes passes what was refused as well; kept, it would fill the memory of a gateway that forgets nothing.
    const own = deviceTopic(id as DeviceId, 'down')
    for (const subscription of subscriptions) {
      if (subscription.topic === own || subscription.topic === hintTopic) known.set(subscription.topic, subscription)
    }
    this.#subscriptions.set(id, known)
  }

  async removeSubscriptions({ id }: ClientRef, topics: readonly string[]): Promise<void> {
    for (const topic of topics) this.#subscriptions.get(id)?.delete(topic)
  }

  async subscriptionsByClient({ id }: ClientRef): Promise<ISubscription[]> {
    return [...(this.#subscriptions.get(id)?.values() ?? [])].map((subscription) => ({ ...subscription }))
  }

  async cleanSubscriptions({ id }: ClientRef): Promise<void> {
    this.#subscriptions.delete(id)
  }

  createRetainedStreamCombi(topics: readonly string[]): Readable {
    if (!topics.includes(hintTopic)) return Readable.from([])
    return Readable.from([
      { cmd: 'publish', topic: hintTopic, payload: this.#options.hint(), qos: 0, retain: true, dup: false },
    ])
  }

  async outgoingClearMessageId(client: ClientRef, { messageId }: { messageId: number }): Promise<void> {
    this.#options.onAck(client, messageId)
  }

  outgoingStream(): Readable {
    return Readable.from([])
  }

  // Wills need no store: there is one broker, and it holds them with their connections.
  async putWill(): Promise<void> {}
  async delWill(): Promise<void> {}
  streamWill(): Readable {
    return Readable.from([])
  }

  // QoS 2 is refused before anything of it is stored; a stray PUBREL finds nothing.
  async incomingGetPacket(): Promise<never> {
    throw new Error('no such packet')
  }
}
