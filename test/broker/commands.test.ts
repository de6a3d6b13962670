// Downwards: commands with their PUBACK, the hint, who is here, and a device that has stopped reading.
import type { TLSSocket } from 'node:tls'
import mqttPacket from 'mqtt-packet'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { DeviceId } from '../../protocol/ids.ts'
import { hintTopic } from '../../protocol/topics.ts'
import { closed, envelope, Plant, publish, snapshot, type Identity } from './plant.ts'

const press = 'press-1' as DeviceId
const downTopic = `tg/1/${press}/down`
let plant: Plant
let identity: Identity
const presence: string[] = []
const ready: string[] = []
const waiters: (() => void)[] = []

beforeAll(async () => {
  plant = await Plant.start({
    broker: { limits: { ackTimeoutMs: 120_000, drainTimeoutMs: 120_000, maxOutstandingCommands: 2 } },
  })
  identity = await plant.pki.device(press)
  const note = (list: string[], entry: string) => {
    list.push(entry)
    for (const waiter of waiters.splice(0)) waiter()
  }
  plant.broker.onPresence((device, state) => note(presence, `${device} ${state}`))
  plant.broker.onReady((device) => note(ready, device))
})
afterAll(() => plant.stop())

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise<void>((resolve) => void waiters.push(resolve))
}

test('a command to a device that is not there is told to be offline, and is not kept for it', async () => {
  expect(await plant.broker.send(press, 'early')).toBe('offline')
  const client = await plant.connect(identity, press)
  const messages: string[] = []
  client.on('message', (_topic, payload) => messages.push(payload.toString()))
  expect(await plant.broker.send(press, 'connected, not subscribed')).toBe('offline')
  await client.subscribeAsync(downTopic, { qos: 1 })
  expect(await plant.broker.send(press, 'now')).toBe('acked')
  expect(messages).toEqual(['now'])
  await client.endAsync(true)
})

test('a persistent session is ready again without subscribing, and gets nothing that was not sent to it now', async () => {
  await until(() => presence.at(-1) === `${press} gone`)
  const readyCount = ready.length
  const client = await plant.connect(identity, press, { resubscribe: false })
  const messages: string[] = []
  client.on('message', (_topic, payload) => messages.push(payload.toString()))
  await until(() => ready.length > readyCount)
  expect(await plant.broker.send(press, 'again')).toBe('acked')
  expect(messages).toEqual(['again'])
  await client.endAsync(true)
})

test('every command of many is acknowledged in order, few at a time', async () => {
  const client = await plant.connect(identity, press, { clean: true })
  const messages: string[] = []
  client.on('message', (_topic, payload) => messages.push(payload.toString()))
  await client.subscribeAsync(downTopic, { qos: 1 })
  const sent = Array.from({ length: 500 }, (_, index) => `command ${index}`)
  const results = await Promise.all(sent.map((text) => plant.broker.send(press, text)))
  expect(new Set(results)).toEqual(new Set(['acked']))
  expect(messages).toEqual(sent)
  await client.endAsync(true)
})

test('a subscription to commands with QoS 0 is refused', async () => {
  const client = await plant.connect(identity, press, { clean: true })
  await expect(client.subscribeAsync(downTopic, { qos: 0 })).rejects.toThrow()
  expect(await plant.broker.send(press, 'x')).toBe('offline')
  await client.endAsync(true)
})

/** A device that subscribes to everything it may and from then on does nothing by itself. */
async function passive(of: Plant, as: Identity): Promise<TLSSocket> {
  const socket = await of.connectRaw(as, press)
  const subscriptions = [
    { topic: downTopic, qos: 1 as const },
    { topic: hintTopic, qos: 0 as const },
  ]
  socket.write(mqttPacket.generate({ cmd: 'subscribe', messageId: 1, subscriptions }))
  await new Promise<void>((resolve) => void of.broker.onReady(() => resolve()))
  return socket
}

test('a device that does not acknowledge is cut off, and its commands are told to be gone', async () => {
  const strict = await Plant.start({ broker: { limits: { ackTimeoutMs: 300, maxOutstandingCommands: 2 } } })
  const socket = (await passive(strict, await strict.pki.device(press))).resume()
  const results = [1, 2, 3].map((number) => strict.broker.send(press, `command ${number}`))
  expect(await Promise.all(results)).toEqual(['gone', 'gone', 'gone'])
  await closed(socket)
  expect((await strict.logged('no-ack')).device).toBe(press)
  await strict.stop()
})

test('a device that has stopped reading does not delay the publishes, commands and hints of others', async () => {
  const frozen = (await passive(plant, identity)).pause()
  const other = await plant.connect(await plant.pki.device('press-2'), 'press-2')
  await other.subscribeAsync('tg/1/press-2/down', { qos: 1 })
  const flood = Array.from({ length: 200 }, () => plant.broker.send(press, Buffer.alloc(100_000)))
  for (let seq = 1; seq <= 50; seq++) {
    plant.broker.publishHint({ filler: 'x'.repeat(50_000) })
    await publish(other, 'press-2', envelope('press-2', [snapshot(seq)]))
    expect(await plant.broker.send('press-2' as DeviceId, 'hello')).toBe('acked')
  }
  expect(plant.broker.connected()).toContain(press)
  plant.broker.kick(press, 'quarantined')
  expect(new Set(await Promise.all(flood))).toEqual(new Set(['gone']))
  frozen.destroy()
  await other.endAsync(true)
})

test('the hint tells the time to each device that subscribes, and again when it is published', async () => {
  const client = await plant.connect(identity, press, { clean: true })
  const hints: { v: number; site: string; nowMs: number; returnAfterMs?: number }[] = []
  client.on('message', (topic, payload) => {
    expect(topic).toBe(hintTopic)
    hints.push(JSON.parse(payload.toString()) as (typeof hints)[number])
    for (const waiter of waiters.splice(0)) waiter()
  })
  plant.broker.publishHint()
  await client.subscribeAsync(hintTopic, { qos: 1 })
  await until(() => hints.length === 1)
  plant.broker.publishHint({ returnAfterMs: 5000 })
  await until(() => hints.length === 2)
  expect(hints[0]).toEqual({ v: 1, site: 'plant-a', nowMs: expect.any(Number) as number })
  expect(hints[1]).toMatchObject({ returnAfterMs: 5000 })
  expect(Math.abs((hints[0]?.nowMs ?? 0) - Date.now())).toBeLessThan(60_000)
  await client.endAsync(true)
})

test('presence: here once the CONNACK is out, gone when the connection ends, silent while one takes over from another', async () => {
  await until(() => presence.at(-1) !== undefined && !plant.broker.connected().includes(press))
  presence.length = 0
  const first = await plant.connect(identity, press)
  const second = await plant.connect(identity, press)
  await closed(first)
  expect(presence).toEqual([`${press} here`])
  expect(plant.broker.kick(press, 'quarantined')).toBe(true)
  await closed(second)
  await until(() => presence.length === 2)
  expect(presence).toEqual([`${press} here`, `${press} gone`])
  expect(plant.broker.kick(press, 'quarantined')).toBe(false)
})

test('alive, retained and as a will, is taken and given to nobody', async () => {
  const topic = `tg/1/${press}/alive`
  const client = await plant.connect(identity, press, {
    will: { topic, payload: Buffer.from('{"state":"gone"}'), qos: 1, retain: true },
  })
  await client.publishAsync(topic, '{"state":"here"}', { qos: 1, retain: true })
  client.stream.destroy()
  await closed(client)
  expect(plant.fatal).toEqual([])
})
