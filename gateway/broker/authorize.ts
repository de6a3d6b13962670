// What a device may say and hear: itself, nothing else. Pure decisions; the broker carries them out.
import type { IConnectPacket, IPublishPacket, ISubscription } from 'mqtt-packet'
import type { DeviceId } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import type { EnvelopeEncoding } from '../../protocol/records.ts'
import { deviceTopic, hintTopic, parseTopic } from '../../protocol/topics.ts'
import { DeviceRefusal } from './reasons.ts'

/** Payload of `alive`, as will or as publish. */
export const aliveBytes = 1024
/** Longest keepalive: a device that fell silent is noticed after one and a half of these. */
export const maxKeepaliveSeconds = 1200

/** Throws DeviceRefusal unless this device may connect so. The protocol version is checked by aedes. */
export function checkConnect(packet: IConnectPacket, device: DeviceId): void {
  if (packet.clientId !== device) {
    throw new DeviceRefusal(
      'wrong-client-id',
      `client id ${show(packet.clientId)} with the certificate of ${device}`,
      2,
    )
  }
  const keepalive = packet.keepalive ?? 0
  if (keepalive === 0 || keepalive > maxKeepaliveSeconds) {
    throw new DeviceRefusal(
      'keepalive',
      `a keepalive of ${keepalive} s; between 1 and ${maxKeepaliveSeconds} are allowed`,
    )
  }
  const { will } = packet
  if (will === undefined) return
  if (will.topic !== deviceTopic(device, 'alive') || will.payload.length > aliveBytes || will.qos === 2) {
    throw new DeviceRefusal('bad-will', `a will of ${will.payload.length} bytes on ${show(will.topic)}`)
  }
}

/** Where a publish goes: an envelope to the journal, `alive` nowhere further. Throws DeviceRefusal. */
export function checkPublish(packet: IPublishPacket, device: DeviceId): EnvelopeEncoding | 'alive' {
  const topic = parseTopic(packet.topic)
  if (topic?.device !== device || topic.kind === 'down') {
    throw new DeviceRefusal('wrong-topic', `${device} may not publish to ${show(packet.topic)}`)
  }
  if (packet.qos === 2) throw new DeviceRefusal('qos-2')
  switch (topic.kind) {
    case 'alive':
      checkAlive(packet.payload)
      return 'alive'
    case 'up':
    case 'up/br':
      if (packet.retain) throw new DeviceRefusal('retain', `a retained publish to ${packet.topic}`)
      return topic.kind === 'up' ? 'json' : 'br'
  }
}

/** Throws DeviceRefusal unless the device may subscribe so. */
export function checkSubscribe({ topic, qos }: ISubscription, device: DeviceId): void {
  if (topic === hintTopic) return
  if (topic === deviceTopic(device, 'down')) {
    if (qos === 0) throw new DeviceRefusal('qos-0-down')
    return
  }
  const hasWildcard = topic.includes('+') || topic.includes('#')
  throw new DeviceRefusal(hasWildcard ? 'wildcard' : 'wrong-topic', `${device} may not subscribe to ${show(topic)}`)
}

function checkAlive(payload: string | Buffer): void {
  if (payload.length > aliveBytes) {
    throw new DeviceRefusal(
      'bad-alive',
      `an alive message of ${payload.length} bytes; at most ${aliveBytes} are allowed`,
    )
  }
  // Empty clears a retained message; nothing of ours is retained, so nothing has to be done.
  if (payload.length === 0) return
  try {
    JSON.parse(payload.toString())
  } catch {
    throw new DeviceRefusal('bad-alive', 'an alive message that is not JSON')
  }
}

/** Untrusted text for a log: quoted and bounded. */
function show(text: string): string {
  return JSON.stringify(text.slice(0, limits.topicBytes / 2))
}
