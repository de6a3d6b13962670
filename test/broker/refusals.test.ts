// Everything a device, or somebody who pretends to be one, may try. Each is refused, logged with its reason, and another
// device's publishes are acknowledged before, meanwhile and after, on the same connection.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { MqttClient } from 'mqtt'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { layoutOf } from '../../certs/layout.ts'
import { RevocationList } from '../../certs/revocation.ts'
import { openJournalReader, type StoredRecord } from '../../gateway/journal/read.ts'
import { compress } from '../../protocol/compression.ts'
import { limits } from '../../protocol/limits.ts'
import { closed, envelope, Pki, Plant, publish, publishTo, site, snapshot, type Identity } from './plant.ts'

const dayMs = 86_400_000
let plant: Plant
/** A device for each test, since the log says only so much about one. */
let device = ''
let press: Identity
let bystander: MqttClient
let bystanderSeq = 0

beforeAll(async () => {
  plant = await Plant.start()
  bystander = await plant.connect(await plant.pki.device('bystander'), 'bystander')
})
afterAll(() => plant.stop())
let deviceCount = 0
beforeEach(async () => {
  device = `press-${++deviceCount}`
  press = await plant.pki.device(device)
})

/** Runs `attempt` while another device publishes one envelope after the other. */
async function whileOthersPublish(attempt: () => Promise<void>): Promise<void> {
  let isOver = false
  await publishNext()
  const publishing = (async () => {
    do await publishNext()
    while (!isOver)
  })()
  try {
    await attempt()
  } finally {
    isOver = true
    await publishing
  }
  await publishNext()
  expect(plant.fatal).toEqual([])
}

function publishNext(): Promise<void> {
  return publish(bystander, 'bystander', envelope('bystander', [snapshot(++bystanderSeq)]))
}

/** A dialled connection is ended before its CONNACK, and the log says why. */
async function expectNoEntry(identity: Partial<Identity>, reason: string, id = device): Promise<void> {
  const from = plant.logLines.length
  const client = plant.dial({ ca: plant.pki.ca, ...identity } as Identity, id)
  let isConnected = false
  client.once('connect', () => (isConnected = true))
  await closed(client)
  expect(isConnected).toBe(false)
  await expectReason(reason, from)
}

async function expectReason(reason: string, from: number): Promise<void> {
  const line = await plant.until(() => plant.logLines.slice(from).find((entry) => entry.reason !== undefined))
  expect(line.reason).toBe(reason)
  expect(line.msg).not.toBe('')
}

/** A connected device does something for which its connection is ended. */
async function expectCutOff(attempt: (client: MqttClient) => void, reason: string): Promise<void> {
  const client = await plant.connect(press, device)
  const from = plant.logLines.length
  attempt(client)
  await closed(client)
  await expectReason(reason, from)
}

function records(of: string): StoredRecord[] {
  const reader = openJournalReader(join(plant.folder, 'journal.db'))
  const found = reader.after(0, { limit: 100_000 }).filter((record) => record.device === of)
  reader.close()
  return found
}

test('a certificate of another CA is refused', () =>
  whileOthersPublish(async () => {
    const other = await Pki.create(join(plant.folder, 'other'), site)
    const { cert, key } = await other.device(device)
    await expectNoEntry({ cert, key }, 'unknown-ca')
  }))

test('a device of another site of the same root is refused', () =>
  whileOthersPublish(async () => {
    const neighbour = await plant.pki.neighbour('plant-b')
    const { cert, key } = await neighbour.device(device)
    await expectNoEntry({ cert, key }, 'unknown-ca')
  }))

test('an expired certificate is refused', () =>
  whileOthersPublish(async () => {
    const validity = { notBeforeMs: Date.now() - 3 * dayMs, notAfterMs: Date.now() - dayMs }
    await expectNoEntry(await plant.pki.device('expired-1', validity), 'expired', 'expired-1')
  }))

test('a certificate from the future is refused', () =>
  whileOthersPublish(async () => {
    const validity = { notBeforeMs: Date.now() + 3 * dayMs, notAfterMs: Date.now() + 9 * dayMs }
    await expectNoEntry(await plant.pki.device('future-1', validity), 'not-yet-valid', 'future-1')
  }))

test('a peer without a certificate is refused', () => whileOthersPublish(() => expectNoEntry({}, 'no-certificate')))

test("a gateway's certificate is not a device's", () =>
  whileOthersPublish(async () => expectNoEntry(await plant.pki.gateway(), 'not-a-device')))

test('a revoked device is cut off at once, cannot come back, and a stale list does not change that', () =>
  whileOthersPublish(async () => {
    const stolen = await plant.pki.device('stolen-1')
    const client = await plant.connect(stolen, 'stolen-1')
    const from = plant.logLines.length
    const crl = await plant.pki.revoke('stolen-1')
    const caPem = readFileSync(join(layoutOf(plant.pki.folder).site(site), 'ca.pem'), 'utf8')
    const list = RevocationList.load(crl, caPem)
    plant.broker.setRevocations(list)
    await closed(client)
    await expectReason('revoked', from)
    expect(list.isStale(Date.now() + 90 * dayMs)).toBe(true)
    await expectNoEntry(stolen, 'revoked', 'stolen-1')
  }))

test('a peer that speaks no TLS is refused', () =>
  whileOthersPublish(async () => {
    const from = plant.logLines.length
    const socket = plant.dialTcp()
    socket.end('GET / HTTP/1.1\r\n\r\n')
    await closed(socket)
    await expectReason('tls-failed', from)
  }))

test('a client id that is not the name of the certificate is refused', () =>
  whileOthersPublish(() => expectNoEntry(press, 'wrong-client-id', 'press-900')))

test('a publish under the name of another device ends the connection', () =>
  whileOthersPublish(() =>
    expectCutOff((client) => client.publish('tg/1/bystander/up', 'x', { qos: 1 }), 'wrong-topic'),
  ))

test('a publish to a topic of none of ours, or to a $ topic, ends the connection', () =>
  whileOthersPublish(async () => {
    await expectCutOff((client) => client.publish('factory/line-1', 'x', { qos: 1 }), 'wrong-topic')
    await expectCutOff((client) => client.publish('$SYS/broker/load', 'x', { qos: 1 }), 'wrong-topic')
    await expectCutOff((client) => client.publish(`tg/1/${device}/down`, 'x', { qos: 1 }), 'wrong-topic')
  }))

test('an oversized packet is refused at its header, before it is read', () =>
  whileOthersPublish(async () => {
    const socket = await plant.connectRaw(press, device)
    const from = plant.logLines.length
    // The length says 64 MiB; a few bytes follow, never the rest.
    socket.write(Buffer.from([0x32, 0x80, 0x80, 0x80, 0x20, 0, 4, 0x74, 0x65]))
    await closed(socket)
    await expectReason('packet-too-large', from)
  }))

test('a CONNECT of 150 MB is refused at its header and costs no memory', () =>
  whileOthersPublish(async () => {
    const socket = await plant.dialRaw(press)
    const from = plant.logLines.length
    const before = process.memoryUsage().rss
    const body = Buffer.alloc(1_048_576)
    socket.write(Buffer.from([0x10, 0x80, 0x80, 0xc0, 0x47, 0, 4, 0x4d, 0x51, 0x54, 0x54, 4]))
    for (let sent = 0; sent < 150 && !socket.destroyed; sent++) {
      await new Promise((resolve) => socket.write(body, resolve))
    }
    await closed(socket)
    await expectReason('connect-too-large', from)
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 1_048_576)
  }))

test('malformed JSON is recorded with its reason and first bytes, and acknowledged so that it does not come back', () =>
  whileOthersPublish(async () => {
    const client = await plant.connect(press, device)
    const from = plant.logLines.length
    await publish(client, device, Buffer.from('{"v":1,"device":"a","records":[{"kind"'))
    await expectReason('not-json', from)
    const trace = records(device).at(-1)
    expect(trace).toMatchObject({ kind: 'refused', epoch: null, seq: null })
    const body = JSON.parse(trace?.body ?? '') as { reason: string; bytes: number; head: string; sha256: string }
    expect(body).toMatchObject({ reason: 'not-json', bytes: 38, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) })
    expect(Buffer.from(body.head, 'base64').toString()).toContain('"records":[{"kind"')
    await publish(client, device, envelope(device, [snapshot(1)]))
    expect(records(device).at(-1)).toMatchObject({ seq: 1 })
    expect((await plant.journal.ledger({ device }))[0]?.refused).toBe(1)
    await client.endAsync(true)
  }))

test('a Brotli bomb is refused after 8 MiB of it and recorded', () =>
  whileOthersPublish(async () => {
    const client = await plant.connect(press, device)
    const from = plant.logLines.length
    const bomb = compress('br', Buffer.alloc(128 * 1_048_576, 0x20))
    expect(bomb.length).toBeLessThan(limits.payloadBytes)
    await publish(client, device, bomb, 'up/br')
    await expectReason('too-large', from)
    expect(records(device).at(-1)?.body).toContain('"reason":"too-large"')
    await client.endAsync(true)
  }))

test('an envelope of another device is refused and recorded', () =>
  whileOthersPublish(async () => {
    const client = await plant.connect(press, device)
    const from = plant.logLines.length
    await publish(client, device, envelope('bystander', [snapshot(70)]))
    await expectReason('wrong-device', from)
    expect(records('bystander').some(({ seq }) => seq === 70 && seq > bystanderSeq)).toBe(false)
    await client.endAsync(true)
  }))

test('an envelope of a later protocol version is not acknowledged: a newer gateway could read it', () =>
  whileOthersPublish(() =>
    expectCutOff(
      (client) => client.publish(`tg/1/${device}/up`, envelope(device, [snapshot(500)], { v: 2 }), { qos: 1 }),
      'version-unsupported',
    ),
  ))

test('a topic of 101 levels is refused, in a publish and in a subscription', () =>
  whileOthersPublish(async () => {
    const deep = Array.from({ length: 101 }, () => 'a').join('/')
    await expectCutOff((client) => client.publish(deep, 'x', { qos: 1 }), 'topic-levels')
    await expectCutOff((client) => client.subscribe(deep), 'topic-levels')
  }))

test('subscriptions with wildcards, or to the topics of others, fail with a reason, and the connection stays', () =>
  whileOthersPublish(async () => {
    const client = await plant.connect(press, device)
    for (const [topic, reason] of [
      ['#', 'wildcard'],
      ['tg/1/+/down', 'wildcard'],
      ['$SYS/#', 'wildcard'],
      ['tg/1/bystander/down', 'wrong-topic'],
      ['tg/1/bystander/alive', 'wrong-topic'],
    ] as const) {
      const from = plant.logLines.length
      await expect(client.subscribeAsync(topic, { qos: 1 })).rejects.toThrow()
      await expectReason(reason, from)
    }
    await publish(client, device, envelope(device, [snapshot(2)]))
    await client.endAsync(true)
  }))

test('retained envelopes, QoS 2 and large or malformed alive messages end the connection', () =>
  whileOthersPublish(async () => {
    const up = `tg/1/${device}/up`
    const alive = `tg/1/${device}/alive`
    await expectCutOff(
      (client) => client.publish(up, envelope(device, [snapshot(3)]), { qos: 1, retain: true }),
      'retain',
    )
    await expectCutOff((client) => client.publish(up, envelope(device, [snapshot(3)]), { qos: 2 }), 'qos-2')
    await expectCutOff(
      (client) => client.publish(alive, Buffer.alloc(1025, 0x31), { qos: 1, retain: true }),
      'bad-alive',
    )
    await expectCutOff((client) => client.publish(alive, 'here', { qos: 1, retain: true }), 'bad-alive')
  }))

test("a will anywhere but on the device's own alive topic, no keepalive and MQTT 5 are refused", () =>
  whileOthersPublish(async () => {
    const attempt = async (options: Parameters<Plant['dial']>[2], reason: string) => {
      const from = plant.logLines.length
      await closed(plant.dial(press, device, options))
      await expectReason(reason, from)
    }
    await attempt(
      { will: { topic: 'tg/1/bystander/alive', payload: Buffer.from('{}'), qos: 1, retain: true } },
      'bad-will',
    )
    await attempt(
      { will: { topic: `tg/1/${device}/alive`, payload: Buffer.alloc(1025), qos: 1, retain: true } },
      'bad-will',
    )
    await attempt({ keepalive: 0 }, 'keepalive')
    await attempt({ protocolVersion: 5 }, 'protocol-version')
  }))

test('bytes that are no MQTT, and packets before CONNECT, end the connection', () =>
  whileOthersPublish(async () => {
    for (const [bytes, reason] of [
      [Buffer.from([0xc0, 0]), 'no-connect'],
      [Buffer.from([0x10, 0xff, 0xff, 0xff, 0xff, 0x7f]), 'malformed-packet'],
      [Buffer.from([0x10, 6, 0, 4, 0x4e, 0x4f, 0x50, 0x45]), 'malformed-packet'],
    ] as const) {
      const socket = await plant.dialRaw(press)
      const from = plant.logLines.length
      socket.write(bytes)
      await closed(socket)
      await expectReason(reason, from)
    }
  }))

test('a second connection of the same identity takes over, and machines that keep doing so are reported', () =>
  whileOthersPublish(async () => {
    let last = await plant.connect(press, device)
    const from = plant.logLines.length
    for (let round = 0; round < 7; round++) {
      const next = await plant.connect(press, device)
      await closed(last)
      last = next
    }
    await expectReason('replaced', from)
    expect(plant.broker.stats().suspectedClones).toBe(1)
    expect(plant.logLines.slice(from).some(({ msg }) => msg.includes('is its certificate on two machines?'))).toBe(true)
    expect(plant.broker.connected()).toContain(device)
    await publish(last, device, envelope(device, [snapshot(4)]))
    await last.endAsync(true)
  }))

test('QoS 0 publishes are stored too; nothing tells the device', async () => {
  const client = await plant.connect(press, device)
  await publishTo(client, `tg/1/${device}/up`, envelope(device, [snapshot(5)]), 0)
  await publish(client, device, envelope(device, [snapshot(6)]))
  expect(records(device).map(({ seq }) => seq)).toEqual(expect.arrayContaining([5, 6]))
  await client.endAsync(true)
})
