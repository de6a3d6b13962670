// aedes, cut down to what a gateway needs, and its errors in our words.
import { Aedes, type PublishPacket } from 'aedes'
import { DeviceRefusal } from './reasons.ts'

/** aedes without fan-out: devices talk to the gateway only, so nothing of theirs is routed, retained or queued. */
export class DeviceBroker extends Aedes {
  override publish(packet: PublishPacket, ...rest: unknown[]): void {
    // aedes' own notes ($SYS) keep its book-keeping right.
    if (packet.topic.startsWith('$SYS/')) {
      return (super.publish as (packet: PublishPacket, ...rest: unknown[]) => void).call(this, packet, ...rest)
    }
    const done = rest.at(-1)
    if (typeof done === 'function') done()
  }
}

/** What aedes or its parser said, as a reason of ours; undefined when the peer or the network just ended it. */
export function refusalOf(error: Error & { code?: unknown }): DeviceRefusal | undefined {
  if (error instanceof DeviceRefusal) return error
  switch (error.message) {
    case 'topic has too many levels':
      return new DeviceRefusal('topic-levels')
    case 'unacceptable protocol version':
      return new DeviceRefusal('protocol-version')
    case 'connect did not arrive in time':
      return new DeviceRefusal('no-connect')
    case 'drain timeout':
      return new DeviceRefusal('frozen')
    case '# is not allowed in PUBLISH':
    case '+ is not allowed in PUBLISH':
    case 'empty topic not allowed in PUBLISH':
      return new DeviceRefusal('wrong-topic', error.message)
    case 'keep alive timeout':
    case 'connection closed':
    case 'Premature close':
      return undefined
    default:
      return error.code === undefined ? new DeviceRefusal('malformed-packet', error.message.slice(0, 200)) : undefined
  }
}
