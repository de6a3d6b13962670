// The link against a real MQTT broker over mutual TLS, with a real outbox on disk: what the broker acknowledged leaves the
// outbox, what it did not comes again, and whatever stands in the way is named.
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { pino } from 'pino'
import { createSite, issueDevice, issueServer } from '../../certs/authority.ts'
import { Link, type LinkOptions } from '../../agent-lite/link/link.ts'
import { Outbox } from '../../agent-lite/outbox/outbox.ts'
import type { DeviceRecord } from '../../protocol/records.ts'
import { device, Pki, site, TestGateway } from './gateway-for-tests.ts'

const log = pino({ level: 'silent' })
const folder = mkdtempSync(join(tmpdir(), 'link-'))
let pki: Pki
let count = 0
const cleanups: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  pki = await Pki.create(join(folder, 'pki'))
})
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

async function startGateway(leaf = pki.paths.gateway(site), ca = pki.ca): Promise<TestGateway> {
  const gateway = await TestGateway.start({ cert: join(leaf, 'cert.pem'), key: join(leaf, 'key.pem') }, ca)
  cleanups.push(() => gateway.stop())
  return gateway
}

async function openOutbox(): Promise<Outbox> {
  const outbox = await Outbox.open(join(folder, `outbox-${++count}`), {
    maxBytes: 64 * 1_048_576,
    flushDelayMs: 1,
    log,
  })
  cleanups.push(() => outbox.close())
  return outbox
}

const limits: LinkOptions['limits'] = {
  keepaliveMs: 60_000,
  connectTimeoutMs: 10_000,
  ackTimeoutMs: 60_000,
  maxInFlight: 4,
  envelopeBytes: 262_144,
  backoffBaseMs: 5,
  backoffMaxMs: 50,
}

function startLink(gateway: { port: number }, outbox: Outbox, options: Partial<LinkOptions> = {}): Link {
  const link = new Link({
    device,
    site,
    gateway: { host: 'localhost', port: gateway.port },
    tls: pki.tls,
    version: '1.2.3',
    startedMs: 7,
    limits,
    outbox,
    envelopeHead: () => ({ sentMs: Date.now(), bootId: 'boot', uptimeMs: 1, clock: 'synced' }),
    onCommand: () => Promise.resolve(),
    log,
    ...options,
  })
  outbox.onStored = () => link.wake()
  link.start()
  cleanups.push(() => link.stop())
  return link
}

const record = (value: string): Omit<DeviceRecord, 'seq'> => ({
  kind: 'event',
  name: 'n',
  columns: ['c'],
  rows: [[value]],
})

/** Looks until there is something. */
async function eventually<T>(look: () => T | undefined): Promise<T> {
  for (;;) {
    const found = look()
    if (found !== undefined) return found
    await sleep(5)
  }
}

/** Resolves when nothing waits in the outbox any more. */
const drained = (outbox: Outbox) => eventually(() => outbox.state.recordCount === 0 || undefined)
const problem = (link: Link) => eventually(() => link.state.lastProblem)

test('every record arrives and leaves the outbox only then, however often the link is cut', async () => {
  const gateway = await startGateway()
  const outbox = await openOutbox()
  let publishes = 0
  gateway.verdict = () => (['ack', 'ack', 'cut', 'ack', 'drop'] as const)[++publishes % 5] ?? 'ack'
  startLink(gateway, outbox, { limits: { ...limits, envelopeBytes: 8192 } })
  const added = Array.from({ length: 600 }, (_, index) => outbox.add(record(`${index} ${'x'.repeat(index % 700)}`)))
  await Promise.all(added.map(({ stored }) => stored))
  await drained(outbox)
  const bySeq = new Map(gateway.records.map((one) => [one.seq, one]))
  expect([...bySeq.keys()].sort((a, b) => (a ?? 0) - (b ?? 0))).toEqual(added.map(({ seq }) => seq))
  expect(gateway.connects).toBeGreaterThan(5)
  expect(gateway.envelopes.every((envelope) => envelope.epoch === outbox.epoch)).toBe(true)
})

test('a record whose PUBACK was lost comes again, the same', async () => {
  const gateway = await startGateway()
  const outbox = await openOutbox()
  gateway.verdict = () => (gateway.envelopes.length === 0 ? 'cut' : 'ack')
  startLink(gateway, outbox)
  outbox.add(record('once'), { urgent: true })
  await drained(outbox)
  expect(gateway.records).toHaveLength(2)
  expect(gateway.records[1]).toEqual(gateway.records[0])
})

test('no more envelopes than configured wait for their PUBACK', async () => {
  const gateway = await startGateway()
  const outbox = await openOutbox()
  startLink(gateway, outbox, { limits: { ...limits, maxInFlight: 3, envelopeBytes: 4096 } })
  gateway.verdict = () => (gateway.envelopes.length < 6 ? 'ack' : 'hold')
  for (let index = 0; index < 40; index++) outbox.add(record('y'.repeat(4000)))
  await outbox.flush()
  await gateway.until(() => gateway.unacknowledged === 3 || undefined)
  gateway.verdict = () => 'ack'
  gateway.release()
  await drained(outbox)
  expect(gateway.maxUnacknowledged).toBe(3)
  expect(gateway.records).toHaveLength(40)
})

test('urgent records go first; large envelopes go compressed, small ones as plain JSON', async () => {
  const gateway = await startGateway()
  const outbox = await openOutbox()
  outbox.add(record('z'.repeat(5000)))
  await outbox.flush()
  await outbox.add(record('now'), { urgent: true }).stored
  startLink(gateway, outbox, { limits: { ...limits, envelopeBytes: 4096 } })
  await drained(outbox)
  expect(gateway.records.map(({ seq }) => seq)).toEqual([2, 1])
  expect(gateway.topics.filter((topic) => topic.includes('/up'))).toEqual(['tg/1/press-1/up', 'tg/1/press-1/up/br'])
})

test('a gateway that does not acknowledge in time is left, and the record is sent again', async () => {
  const gateway = await startGateway()
  const outbox = await openOutbox()
  gateway.verdict = () => (gateway.envelopes.length === 0 ? 'hold' : 'ack')
  const link = startLink(gateway, outbox, { limits: { ...limits, ackTimeoutMs: 50 } })
  outbox.add(record('slow'), { urgent: true })
  await drained(outbox)
  expect(gateway.records.map(({ seq }) => seq)).toEqual([1, 1])
  expect(link.state.lastProblem?.kind).toBe('ack-timeout')
})

test('the device says that it is here, and gone when it stops or its connection breaks', async () => {
  const gateway = await startGateway()
  const link = startLink(gateway, await openOutbox())
  await gateway.until(() => gateway.alive[0])
  gateway.cut()
  await gateway.until(() => (gateway.alive.length >= 2 ? true : undefined))
  await link.stop()
  await gateway.until(() => (JSON.stringify(gateway.alive.at(-1)) === '{"state":"gone"}' ? true : undefined))
  expect(
    gateway.alive.filter((one) => JSON.stringify(one) === '{"state":"here","version":"1.2.3","startedMs":7}'),
  ).not.toEqual([])
})

test('the gateway tells how far the clock of the device is off', async () => {
  const gateway = await startGateway()
  const link = startLink(gateway, await openOutbox())
  gateway.hint(JSON.stringify({ v: 1, nowMs: Date.now() - 3_600_000 }))
  await gateway.until(() => gateway.isListening || undefined)
  const clockAheadMs = await eventually(() => link.state.clockAheadMs)
  expect(Math.round(clockAheadMs / 60_000)).toBe(60)
})

test('a gateway that nobody started is unreachable, and is found once it is there', async () => {
  const probe = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => probe.once('listening', resolve))
  const { port } = probe.address() as AddressInfo
  await new Promise((resolve) => probe.close(resolve))
  const outbox = await openOutbox()
  const link = startLink({ port }, outbox)
  expect(await problem(link)).toMatchObject({ kind: 'unreachable', hint: expect.any(String) })
  const leaf = pki.paths.gateway(site)
  const gateway = await TestGateway.start({ cert: join(leaf, 'cert.pem'), key: join(leaf, 'key.pem') }, pki.ca, port)
  cleanups.push(() => gateway.stop())
  await gateway.until(() => gateway.isListening || undefined)
  expect(link.state.connected).toBe(true)
})

test('a gateway under another root is refused, and so is a device under another root', async () => {
  const other = await Pki.create(join(folder, 'other'))
  const stranger = await startGateway(other.paths.gateway(site), other.ca)
  const link = startLink(stranger, await openOutbox())
  expect((await problem(link)).kind).toBe('unknown-ca')
  await link.stop()
  const gateway = await startGateway()
  const intruder = startLink(gateway, await openOutbox(), { tls: { ...other.tls, ca: pki.ca } })
  expect((await problem(intruder)).kind).toBe('refused')
  expect(gateway.connects + stranger.connects).toBe(0)
})

test('the gateway of another site, a device, and a name that the certificate does not hold are no gateway of this site', async () => {
  const root = join(folder, 'pki')
  await createSite({ pki: root, site: 'plant-b' })
  await issueServer({ pki: root, role: 'gateway', site: 'plant-b', dns: ['localhost'] })
  await issueDevice({ pki: root, site, device: 'press-2' })
  const ofOtherSite = startLink(await startGateway(pki.paths.gateway('plant-b')), await openOutbox())
  expect(await problem(ofOtherSite)).toMatchObject({
    kind: 'wrong-gateway',
    message: expect.stringContaining('plant-b'),
  })
  const ofDevice = startLink(await startGateway(pki.paths.device(site, 'press-2')), await openOutbox())
  expect(['wrong-gateway', 'wrong-name']).toContain((await problem(ofDevice)).kind)
  const { port } = await startGateway()
  const byAddress = startLink({ port }, await openOutbox(), { gateway: { host: '127.0.0.1', port } })
  expect((await problem(byAddress)).kind).toBe('wrong-name')
})

test('certificates that have expired are named as such', async () => {
  const root = join(folder, 'expired')
  const expired = await Pki.create(root)
  const validity = { notBeforeMs: Date.now() - 86_400_000, notAfterMs: Date.now() - 60_000 }
  await issueServer({ pki: root, role: 'gateway', site, dns: ['localhost'], force: true, validity })
  const link = startLink(await startGateway(expired.paths.gateway(site), expired.ca), await openOutbox(), {
    tls: expired.tls,
  })
  expect((await problem(link)).kind).toBe('gateway-certificate-expired')
  await issueDevice({ pki: root, site, device, force: true, validity })
  await issueServer({ pki: root, role: 'gateway', site, dns: ['localhost'], force: true })
  const late = startLink(await startGateway(expired.paths.gateway(site), expired.ca), await openOutbox(), {
    tls: expired.tls,
  })
  expect(await problem(late)).toMatchObject({ kind: 'refused', message: expect.stringContaining('expired') })
})
