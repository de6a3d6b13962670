// Segments over real mutual TLS: what is committed, what is refused, and that a receipt means it.
import { createSigner } from '../../protocol/jws.ts'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { encodeSegment } from '../../protocol/segments.ts'
import { Deployment, eventually, FakeGateway, type Reply } from './harness.ts'
import { delta, epoch, press1, recordItem, snapshot, tableItem } from './items.ts'

let deployment: Deployment
let gateway: FakeGateway

beforeAll(async () => {
  deployment = await Deployment.create()
  await deployment.start()
  gateway = new FakeGateway(deployment)
})
afterAll(() => deployment.remove())

const errorOf = (reply: Reply) => (reply.body as { error: { code: string; expected?: number } }).error

test('a segment is committed and its receipt names it', async () => {
  const segment = await gateway.next('history', [recordItem(snapshot(1, 'procs', [[1, 'init']]))])
  const reply = await gateway.post(segment)
  expect(reply.status).toBe(200)
  expect(await gateway.receiptOf(reply)).toMatchObject({ site: 'plant-a', upTo: 1, sha256: segment.sha256 })
  const table = await deployment.api('GET', '/api/v1/hosts/press-1.plant-a/tables/procs')
  expect(table.body).toMatchObject({ columns: ['pid', 'name'], rows: [[1, 'init']], from: 'history', stale: false })
})

test('a repeat gets the same receipt and changes nothing', async () => {
  const segment = await gateway.next('history', [recordItem(snapshot(2, 'procs', [[2, 'sh']]))])
  const first = await gateway.receiptOf(await gateway.post(segment))
  const before = await deployment.api('GET', '/api/v1/ledger')
  const second = await gateway.receiptOf(await gateway.post(segment))
  expect({ ...second, atMs: 0 }).toEqual({ ...first, atMs: 0 })
  expect((await deployment.api('GET', '/api/v1/ledger')).body).toEqual(before.body)
})

test('a number that cannot follow is refused with the number that is expected', async () => {
  const tooHigh = await gateway.make(9, null, 'history', [])
  expect(errorOf(await gateway.post({ n: 9, ...tooHigh }))).toMatchObject({ code: 'SEGMENT_OUT_OF_ORDER', expected: 3 })
  const otherPrev = await gateway.make(3, '0'.repeat(64), 'history', [])
  expect(errorOf(await gateway.post({ n: 3, ...otherPrev }))).toMatchObject({ expected: 3 })
  const otherContent = await gateway.make(1, null, 'history', [])
  const reply = await gateway.post({ n: 1, ...otherContent })
  expect([reply.status, errorOf(reply).expected]).toEqual([409, 3])
})

test('changes fold in order, what came ahead is preferred until history catches up', async () => {
  await gateway.send('state', [tableItem(4, 'procs', [[4, 'ahead']])])
  const path = '/api/v1/hosts/press-1.plant-a/tables/procs'
  expect((await deployment.api('GET', path)).body).toMatchObject({ rows: [[4, 'ahead']], from: 'state' })
  await gateway.send('history', [recordItem(delta(3, 2, 'procs', { added: [[3, 'top']] }))])
  expect((await deployment.api('GET', path)).body).toMatchObject({ rows: [[4, 'ahead']], from: 'state' })
  await gateway.send('history', [
    recordItem(
      delta(4, 3, 'procs', {
        added: [[4, 'ahead']],
        removed: [
          [2, 'sh'],
          [3, 'top'],
        ],
      }),
    ),
  ])
  expect((await deployment.api('GET', path)).body).toMatchObject({ rows: [[4, 'ahead']], from: 'history' })
})

test('a change without its base marks the table stale until the next snapshot', async () => {
  await gateway.send('history', [recordItem(delta(6, 5, 'procs', { added: [[6, 'x']] }))])
  const path = '/api/v1/hosts/press-1.plant-a/tables/procs'
  expect((await deployment.api('GET', path)).body).toMatchObject({ stale: true, rows: [[4, 'ahead']] })
  await gateway.send('history', [recordItem(snapshot(7, 'procs', [[7, 'new']]))])
  expect((await deployment.api('GET', path)).body).toMatchObject({ stale: false, rows: [[7, 'new']] })
})

test('the ledger counts what is here, lost and missing', async () => {
  await gateway.send('history', [
    recordItem({ kind: 'gap', seq: 10, from: 8, to: 8, reason: 'outbox-full' }),
    {
      t: 'ledger',
      device: press1,
      epoch,
      received: [
        [1, 4],
        [6, 7],
        [10, 12],
      ],
      lost: [],
    },
  ])
  const { totals, epochs } = (await deployment.api('GET', '/api/v1/ledger?device=press-1')).body as {
    totals: object
    epochs: object[]
  }
  expect(totals).toEqual({ sent: 12, atCentre: 7, lost: 1, missing: 4 })
  expect(epochs[0]).toMatchObject({
    atSite: 9,
    missingRanges: [
      [5, 5],
      [9, 9],
      [11, 12],
    ],
  })
})

test('the newest receipt of a chain can be asked for', async () => {
  const known = await deployment.asSite(gateway.tls, 'GET', '/v1/sites/plant-a/receipt?chain=chain-0001')
  expect((await gateway.receiptOf(known)).upTo).toBe(8)
  const unknown = await deployment.asSite(gateway.tls, 'GET', '/v1/sites/plant-a/receipt?chain=another-chain')
  expect(unknown.status).toBe(404)
})

test('a new chain starts at 1 and stands in the audit log', async () => {
  const rebuilt = new FakeGateway(deployment, 'plant-a', 'chain-0002')
  expect(errorOf(await rebuilt.post({ n: 5, ...(await rebuilt.make(5, null, 'history', [])) }))).toMatchObject({
    expected: 1,
  })
  await rebuilt.send('history', [])
  const { entries } = (await deployment.api('GET', '/api/v1/audit')).body as {
    entries: { what: string; detail: object }[]
  }
  expect(entries.at(-1)).toMatchObject({ what: 'chain.start', detail: { site: 'plant-a', chain: 'chain-0002' } })
})

test('records that came before are not taken twice, whatever segment brings them', async () => {
  const again = new FakeGateway(deployment, 'plant-a', 'chain-0003')
  const before = (await deployment.api('GET', '/api/v1/ledger')).body as { totals: object }
  await again.send('history', [recordItem(snapshot(1, 'procs', [[1, 'init']]))])
  expect(((await deployment.api('GET', '/api/v1/ledger')).body as { totals: object }).totals).toEqual(before.totals)
})

test('a segment signed with another key, altered, or of another site is refused', async () => {
  const next = new FakeGateway(deployment, 'plant-a', 'chain-0004')
  const foreign = await next.make(1, null, 'history', [], 'plant-b')
  const replies = [await next.post({ n: 1, ...foreign })]
  const good = await next.make(1, null, 'history', [recordItem(snapshot(99, 'procs', []))])
  const altered = Buffer.from(good.file)
  altered[altered.length - 1]! ^= 1
  replies.push(await next.post({ n: 1, file: altered }))
  const key = (name: string) => readFileSync(join(deployment.pki.site('plant-a'), name), 'utf8')
  const asOther = await encodeSegment(
    {
      site: 'plant-b' as never,
      chain: next.chain,
      n: 1,
      lane: 'history',
      prev: null,
      createdMs: 1,
      codec: 'none',
      records: null,
      lines: [],
    },
    await createSigner(key('signing.key'), key('signing.pub')),
  )
  replies.push(await next.post({ n: 1, file: asOther.file }))
  replies.push(await next.post({ n: 1, file: Buffer.from('nothing of the kind') }))
  replies.push(await next.post({ n: 2, file: good.file }))
  expect(replies.map((reply) => [reply.status, errorOf(reply).code])).toEqual([
    [422, 'unknown-key'],
    [422, 'bad-hash'],
    [422, 'wrong-site'],
    [400, 'bad-shape'],
    [400, 'bad-shape'],
  ])
})

test('a body over the limit is refused before it is read', async () => {
  const reply = await gateway.post({ n: 9, file: Buffer.alloc(8 * 1_048_576 + 1) }).catch((error: Error) => error)
  if (reply instanceof Error) expect(String((reply as NodeJS.ErrnoException).code)).toMatch(/EPIPE|ECONNRESET/)
  else expect([reply.status, errorOf(reply).code]).toEqual([413, 'too-large'])
})

test('only the gateway of a registered site may speak for it', async () => {
  const plantB = new FakeGateway(deployment, 'plant-b')
  const device = {
    cert: join(deployment.pki.device('plant-a', 'press-1'), 'cert.pem'),
    key: join(deployment.pki.device('plant-a', 'press-1'), 'key.pem'),
  }
  const codes = await Promise.all(
    [
      deployment.asSite(plantB.tls, 'GET', '/v1/sites/plant-a/commands'),
      deployment.asSite(plantB.tls, 'GET', '/v1/sites/plant-b/commands'),
      deployment.asSite(device, 'GET', '/v1/sites/plant-a/commands'),
    ].map(async (reply) => [(await reply).status, errorOf(await reply).code]),
  )
  expect(codes).toEqual([
    [403, 'wrong-site'],
    [403, 'SITE_NOT_REGISTERED'],
    [403, 'PEER_NOT_A_GATEWAY'],
  ])
  await expect(deployment.asSite(undefined, 'GET', '/v1/sites/plant-a/commands')).rejects.toThrow()
})

test('a site that is registered while the server runs is heard at once', async () => {
  await deployment.addSite('plant-b')
  const plantB = new FakeGateway(deployment, 'plant-b', 'chain-b-01')
  expect(await plantB.send('history', [])).toMatchObject({ site: 'plant-b', upTo: 1 })
})

test('while the largest segment is being read, people and other sites are served', async () => {
  const big = new FakeGateway(deployment, 'plant-a', 'chain-0005')
  const rows = Array.from({ length: 20_000 }, (_, row) => [row, 'x'.repeat(20)])
  const records = Array.from({ length: 20 }, (_, index) => recordItem(snapshot(1000 + index, 'big', rows)))
  const order: string[] = []
  const { lastContactAtMs: before = 0 } = await big.link()
  const sent = big.send('history', records).then(() => order.push('segment'))
  const plantB = new FakeGateway(deployment, 'plant-b', 'chain-b-02')
  await eventually('the segment to arrive', async () => {
    const { lastContactAtMs = 0 } = await big.link()
    return lastContactAtMs > before ? true : undefined
  })
  await deployment.api('GET', '/api/v1/hosts').then(() => order.push('people'))
  await deployment.asSite(plantB.tls, 'GET', '/v1/sites/plant-b/receipt?chain=none-0000').then(() => order.push('site'))
  await sent
  expect(order).toEqual(['people', 'site', 'segment'])
})
