import fc from 'fast-check'
import mqttPacket from 'mqtt-packet'
import { expect, test } from 'vitest'
import { PacketGate } from './packet-gate.ts'
import type { DeviceRefusal } from './reasons.ts'

const limits = { connectBytes: 200, publishBytes: 5000, otherBytes: 100 }
const connect = mqttPacket.generate({
  cmd: 'connect',
  clientId: 'press-1',
  clean: true,
  keepalive: 30,
  protocolId: 'MQTT',
  protocolVersion: 4,
})
const publish = (payloadBytes: number) =>
  mqttPacket.generate({
    cmd: 'publish',
    topic: 'tg/1/press-1/up',
    payload: Buffer.alloc(payloadBytes, 0x10),
    qos: 1,
    messageId: 7,
    dup: false,
    retain: false,
  })
const ping = mqttPacket.generate({ cmd: 'pingreq' })

function reasonOf(work: () => unknown): string | undefined {
  try {
    work()
    return undefined
  } catch (error) {
    return (error as DeviceRefusal).reason
  }
}

test('however the bytes are cut, the same packets are counted', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.constant(ping), fc.integer({ min: 0, max: 4000 }).map(publish)), { maxLength: 12 }),
      fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1 }),
      (packets, cuts) => {
        const bytes = Buffer.concat([connect, ...packets])
        const gate = new PacketGate(limits)
        let count = 0
        for (let at = 0, turn = 0; at < bytes.length; turn++) {
          const size = cuts[turn % cuts.length] ?? 1
          count += gate.pass(bytes.subarray(at, at + size))
          at += size
        }
        expect(count).toBe(packets.length + 1)
      },
    ),
  )
})

test('a packet over its limit is refused at the last byte of its length, with all of the body still to come', () => {
  const gate = new PacketGate(limits)
  gate.pass(connect)
  const header = publish(5000).subarray(0, 3)
  expect(reasonOf(() => gate.pass(header.subarray(0, 2)))).toBeUndefined()
  expect(reasonOf(() => gate.pass(header.subarray(2)))).toBe('packet-too-large')
  expect(reasonOf(() => new PacketGate(limits).pass(Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f])))).toBe(
    'connect-too-large',
  )
})

test('each kind of packet has its own limit', () => {
  const gate = new PacketGate(limits)
  gate.pass(connect)
  gate.pass(publish(4900))
  const subscriptions = Array.from({ length: 20 }, (_, index) => ({ topic: `tg/1/device-${index}`, qos: 1 as const }))
  const subscribe = mqttPacket.generate({ cmd: 'subscribe', messageId: 1, subscriptions })
  expect(reasonOf(() => gate.pass(subscribe))).toBe('packet-too-large')
})

test('what is no CONNECT does not pass as the first packet', () => {
  expect(reasonOf(() => new PacketGate(limits).pass(ping))).toBe('no-connect')
  expect(reasonOf(() => new PacketGate(limits).pass(Buffer.from('GET / HTTP/1.1\r\n')))).toBe('no-connect')
})

test('a length of more than four bytes is malformed', () => {
  expect(reasonOf(() => new PacketGate(limits).pass(Buffer.from([0x10, 0x80, 0x80, 0x80, 0x80, 1])))).toBe(
    'malformed-packet',
  )
})
