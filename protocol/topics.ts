// The only place where an MQTT topic is built or parsed. Version 1 topics live under tg/1/.
import { DeviceId } from './ids.ts'
import { limits } from './limits.ts'

const prefix = 'tg/1/'

/** `tg/1/site/hint`, retained: when to come back, the time, the number of the deny list. */
export const hintTopic = `${prefix}site/hint`

export type TopicKind = 'up' | 'up/br' | 'alive' | 'down'

/** Topic of one device, for example `tg/1/press-2/up/br`. */
export function deviceTopic(device: DeviceId, kind: TopicKind): string {
  return `${prefix}${device}/${kind}`
}

export interface ParsedTopic {
  device: DeviceId
  kind: TopicKind
}

/** The device and kind a topic names, or undefined when it is none of ours. */
export function parseTopic(topic: string): ParsedTopic | undefined {
  if (topic.length > limits.topicBytes || !topic.startsWith(prefix)) return undefined
  const rest = topic.slice(prefix.length)
  const slash = rest.indexOf('/')
  if (slash < 0) return undefined
  const kind = rest.slice(slash + 1)
  if (kind !== 'up' && kind !== 'up/br' && kind !== 'alive' && kind !== 'down') return undefined
  const device = DeviceId.safeParse(rest.slice(0, slash))
  return device.success ? { device: device.data, kind } : undefined
}
