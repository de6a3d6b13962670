import fc from 'fast-check'
import { generateKeyPairSync } from 'node:crypto'
import { beforeAll, expect, test } from 'vitest'
import { addresses, checkCommandTime, decodeCommand, encodeCommand, type CommandInput } from './commands.ts'
import { DeviceId, Epoch, QueryId, SiteId } from './ids.ts'
import { createSigner, loadTrustedKey, verifyJws, type Signer, type TrustedKey } from './jws.ts'
import { decodeReceipt, encodeReceipt } from './receipts.ts'
import { Refusal, type RefusalReason } from './refusal.ts'
import { decodeSegment, encodeSegment, sha256Hex, type SegmentInput } from './segments.ts'
import { codecs } from './compression.ts'

const site = SiteId.parse('plant-a')
const other = SiteId.parse('plant-b')
const chain = Epoch.parse('chain-0001')
let centre: Signer
let plant: Signer
let centreKey: TrustedKey
let plantKey: TrustedKey
let siteKey: TrustedKey

beforeAll(async () => {
  const pems = () => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519')
    return [
      privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    ] as const
  }
  const [centrePrivate, centrePublic] = pems()
  const [plantPrivate, plantPublic] = pems()
  centre = await createSigner(centrePrivate, centrePublic)
  plant = await createSigner(plantPrivate, plantPublic)
  centreKey = await loadTrustedKey(centrePublic, 'centre')
  plantKey = await loadTrustedKey(plantPublic, 'plant')
  siteKey = await loadTrustedKey(plantPublic, 'plant-a')
})

const command: CommandInput = {
  v: 1,
  id: QueryId.parse('q-1'),
  kind: 'query',
  authority: 'centre',
  issuedAtMs: 1,
  notBeforeMs: 100,
  notAfterMs: 200,
  target: { site, devices: [DeviceId.parse('press-2')] },
  by: 'ada',
  body: { sql: 'SELECT 1' },
}

test('a command round-trips with its defaults filled in', async () => {
  const decoded = await decodeCommand(await encodeCommand(command, centre), [centreKey, plantKey])
  expect(decoded).toMatchObject({ ...command, body: { sql: 'SELECT 1', maxRows: 10_000, costClass: 'normal' } })
})

test('a command is refused before and after its time, and only addressed devices take it', async () => {
  const decoded = await decodeCommand(await encodeCommand(command, centre), [centreKey])
  expect(reasonOfSync(() => checkCommandTime(decoded, 99))).toBe('not-yet-valid')
  expect(reasonOfSync(() => checkCommandTime(decoded, 150))).toBeUndefined()
  expect(reasonOfSync(() => checkCommandTime(decoded, 201))).toBe('expired')
  expect([
    addresses(decoded, site, 'press-2'),
    addresses(decoded, site, 'press-3'),
    addresses(decoded, other, 'press-2'),
  ]).toEqual([true, false, false])
})

test('the plant cannot speak for the centre', async () => {
  expect(await reasonOf(decodeCommand(await encodeCommand(command, plant), [centreKey, plantKey]))).toBe(
    'bad-signature',
  )
  expect(await reasonOf(decodeCommand(await encodeCommand(command, plant), [centreKey]))).toBe('unknown-key')
})

test('a receipt or segment header does not pass for a command, though the same key signed it', async () => {
  const receipt = await encodeReceipt({ site, chain, upTo: 1, sha256: 'a'.repeat(64), atMs: 1 }, centre)
  expect(await reasonOf(decodeCommand(receipt, [centreKey]))).toBe('wrong-type')
  expect(await reasonOf(decodeReceipt(await encodeCommand(command, centre), site, [centreKey]))).toBe('wrong-type')
})

test('a later version and an unknown kind are refused', async () => {
  expect(
    await reasonOf(centre.sign('tg-command', { ...command, v: 2 }).then((jws) => decodeCommand(jws, [centreKey]))),
  ).toBe('version-unsupported')
  expect(
    await reasonOf(
      centre.sign('tg-command', { ...command, kind: 'reboot' }).then((jws) => decodeCommand(jws, [centreKey])),
    ),
  ).toBe('bad-shape')
})

test('a JWS with alg none, or another algorithm, is refused', async () => {
  const [, payload] = (await encodeCommand(command, centre)).split('.')
  for (const alg of ['none', 'HS256', 'ES256']) {
    const header = Buffer.from(JSON.stringify({ alg, kid: centre.kid, typ: 'tg-command' })).toString('base64url')
    expect(await reasonOf(decodeCommand(`${header}.${payload}.`, [centreKey]))).toBe('bad-signature')
  }
})

test('a receipt counts only for its own site', async () => {
  const jws = await encodeReceipt({ site, chain, upTo: 7, sha256: 'b'.repeat(64), atMs: 9 }, centre)
  expect(await decodeReceipt(jws, site, [centreKey])).toMatchObject({ upTo: 7, chain })
  expect(await reasonOf(decodeReceipt(jws, other, [centreKey]))).toBe('wrong-site')
})

const lines = [
  {
    t: 'record',
    device: 'press-2',
    epoch: 'epoch-0001',
    receivedAtMs: 2,
    record: { kind: 'snapshot', name: 'q', seq: 1, columns: ['a'], rows: [[1]] },
  },
  {
    t: 'table',
    device: 'press-2',
    name: 'q',
    epoch: 'epoch-0001',
    seq: 1,
    observedAtMs: 1,
    receivedAtMs: 2,
    columns: ['a'],
    rows: [[1]],
  },
  { t: 'query', queryId: 'q-1', device: 'press-2', state: 'dispatched', atMs: 3 },
  { t: 'device', device: 'press-2', state: 'here', atMs: 3 },
  {
    t: 'ledger',
    device: 'press-2',
    epoch: 'epoch-0001',
    received: [[1, 5]],
    lost: [{ from: 6, to: 7, reason: 'outbox-full' }],
  },
].map((item) => JSON.stringify(item))

const segment: SegmentInput = {
  site,
  chain,
  n: 1,
  lane: 'history',
  prev: null,
  createdMs: 1,
  codec: 'br',
  records: { from: 1, to: 1, count: 1 },
  lines,
}

test.each(codecs)('a segment round-trips with codec %s', async (codec) => {
  const { file, sha256 } = await encodeSegment({ ...segment, codec }, plant)
  const decoded = await decodeSegment(file, site, [siteKey])
  expect(decoded.items.map((item) => JSON.parse(JSON.stringify(item)) as unknown)).toEqual(
    lines.map((line) => JSON.parse(line) as unknown),
  )
  expect(decoded.header).toMatchObject({ n: 1, lane: 'history', prev: null })
  expect([decoded.sha256, sha256Hex(file)]).toEqual([sha256, sha256])
})

test('items of a later version are counted, not lost track of', async () => {
  const { file } = await encodeSegment({ ...segment, lines: [...lines, '{"t":"weather","rain":true}'] }, plant)
  expect(await decodeSegment(file, site, [siteKey])).toMatchObject({ unknownItems: 1, items: { length: 5 } })
})

test('any change of any byte of a segment is refused with a named reason', async () => {
  const { file } = await encodeSegment({ ...segment, codec: 'none' }, plant)
  await fc.assert(
    fc.asyncProperty(fc.nat({ max: file.length - 1 }), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
      const mutated = Buffer.from(file)
      mutated[at] = (mutated[at] ?? 0) ^ flip
      expect(await reasonOf(decodeSegment(mutated, site, [siteKey]))).toBeDefined()
    }),
    { numRuns: 300 },
  )
})

test('a segment cut anywhere, or of another site, or signed by another site, is refused', async () => {
  const { file } = await encodeSegment(segment, plant)
  for (let length = 0; length < file.length; length += 7) {
    expect(await reasonOf(decodeSegment(file.subarray(0, length), site, [siteKey]))).toBeDefined()
  }
  expect(await reasonOf(decodeSegment(file, other, [siteKey]))).toBe('wrong-site')
  expect(await reasonOf(decodeSegment(file, site, [{ ...siteKey, owner: 'plant-b' }]))).toBe('wrong-site')
  expect(await reasonOf(decodeSegment(file, site, [centreKey]))).toBe('unknown-key')
})

test('any change of any character of a command is refused with a named reason', async () => {
  const jws = await encodeCommand(command, centre)
  await fc.assert(
    fc.asyncProperty(fc.nat({ max: jws.length - 1 }), fc.constantFrom(...'AZaz09-_.~ '), async (at, character) => {
      fc.pre(jws[at] !== character)
      const mutated = jws.slice(0, at) + character + jws.slice(at + 1)
      const reason = await reasonOf(decodeCommand(mutated, [centreKey]))
      // The last character of a base64url part carries unused bits: another spelling of the same bytes.
      if (reason === undefined) expect(await payloadOf(mutated)).toEqual(await payloadOf(jws))
    }),
    { numRuns: 300 },
  )
})

async function payloadOf(jws: string): Promise<string> {
  return Buffer.from((await verifyJws(jws, 'tg-command', [centreKey])).payload).toString()
}

async function reasonOf(promise: Promise<unknown>): Promise<RefusalReason | undefined> {
  try {
    await promise
  } catch (error) {
    if (error instanceof Refusal) return error.reason
    throw error
  }
  return undefined
}

function reasonOfSync(run: () => unknown): RefusalReason | undefined {
  try {
    run()
  } catch (error) {
    if (error instanceof Refusal) return error.reason
    throw error
  }
  return undefined
}
