// The store on real journal.db and state.db files in a temporary folder, with real keys, but without threads.
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openDatabase } from '../../lib/sqlite/open.ts'
import { migrationsFolder } from '../../lib/program-file.ts'
import { encodeCommand, type CommandInput } from '../../protocol/commands.ts'
import type { DeviceId, Epoch, SiteId } from '../../protocol/ids.ts'
import { createSigner, loadTrustedKey, type Signer } from '../../protocol/jws.ts'
import { encodeReceipt } from '../../protocol/receipts.ts'
import { encodeEnvelope, type DeviceRecord } from '../../protocol/records.ts'
import { decodeSegment, type DecodedSegment } from '../../protocol/segments.ts'
import { Journal } from '../journal/journal.ts'
import { openJournalReader } from '../journal/read.ts'
import { Fold, type FoldInput } from '../state/fold.ts'
import type { FormedSegment } from './segments.ts'
import { SiteStore, type StoreOptions } from './site-store.ts'

const site = 'plant-a' as SiteId
const device = 'press-1' as DeviceId
const epoch = 'epoch-aaaa' as Epoch

function keyPair() {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    pub: publicKey.export({ type: 'spki', format: 'pem' }) as string,
  }
}

const siteKeys = keyPair()
const centreKeys = keyPair()
let centre: Signer
let dataDir: string
let journal: Journal
let fold: Fold
let store: SiteStore
let nowMs: number
let seq: number

beforeEach(async () => {
  centre = await createSigner(centreKeys.key, centreKeys.pub)
  dataDir = mkdtempSync(join(tmpdir(), 'tg-store-'))
  journal = new Journal({ path: join(dataDir, 'journal.db') })
  fold = new Fold(openDatabase(join(dataDir, 'state.db'), { migrations: migrationsFolder('gateway', 'state') }))
  nowMs = 1_000_000
  seq = 0
  store = await open()
})

afterEach(() => {
  store.close()
  journal.close()
  rmSync(dataDir, { recursive: true })
})

function open(overrides: Partial<StoreOptions> = {}): Promise<SiteStore> {
  return SiteStore.open(
    {
      dataDir,
      site,
      signing: siteKeys,
      centreKeys: [centreKeys.pub],
      consentRules: [],
      segments: { stateLaneAboveBytes: 50_000, stateRoundEveryMs: 30_000, keepReceiptedBytes: 0 },
      keepQueriesMs: 86_400_000,
      ...overrides,
    },
    () => nowMs,
  )
}

/** Commits records to the journal and folds them. */
function publish(...records: Omit<DeviceRecord, 'seq'>[]): void {
  const numbered = records.map((record) => ({ ...record, seq: ++seq }) as DeviceRecord)
  const payload = encodeEnvelope({ v: 1, device, epoch, records: numbered }, 'json')
  journal.commit([{ device, encoding: 'json', payload }])
  const reader = openJournalReader(join(dataDir, 'journal.db'))
  const fresh = reader.after(fold.journalId, { only: 'history' })
  reader.close()
  fold.apply(fresh.map(({ receivedAtMs, ...record }): FoldInput => ({ ...record, receivedAtMs: receivedAtMs })))
}

const snapshot = (name: string, cell = 'x') => ({ kind: 'snapshot', name, columns: ['v'], rows: [[cell]] })
const answer = (queryId: string) => ({
  kind: 'answer',
  queryId,
  status: 'ok',
  columns: ['n'],
  rows: [[1, 2]],
  part: 0,
  parts: 1,
})

async function command(overrides: Record<string, unknown> = {}): Promise<string> {
  return encodeCommand(
    {
      v: 1,
      id: 'q-1',
      kind: 'query',
      authority: 'centre',
      issuedAtMs: nowMs,
      notBeforeMs: nowMs,
      notAfterMs: nowMs + 60_000,
      target: { site, devices: [device] },
      body: { sql: 'SELECT 1' },
      ...overrides,
    } as CommandInput,
    centre,
  )
}

async function decode(segment: FormedSegment | undefined): Promise<DecodedSegment> {
  if (segment === undefined) throw new Error('no segment')
  return decodeSegment(segment.file, site, [await loadTrustedKey(siteKeys.pub, site)])
}

function receipt(segment: FormedSegment, overrides: Record<string, unknown> = {}): Promise<string> {
  const { n, sha256 } = segment
  return encodeReceipt({ site, chain: store.chain, upTo: n, sha256, atMs: nowMs, ...overrides }, centre)
}

const next = async (targetBytes = 100_000) => {
  const segment = store.segments.pending() ?? (await store.segments.formNext(targetBytes, nowMs))
  if (segment === undefined) throw new Error('no segment')
  return segment
}

describe('segments', () => {
  test('carry records as they came, in a chain that the centre can verify, until nothing is left', async () => {
    publish(snapshot('a'), snapshot('b'))
    const first = await next()
    const { header, items } = await decode(first)
    expect(header).toMatchObject({ n: 1, lane: 'history', prev: null, records: { from: 1, to: 2, count: 2 } })
    expect(items).toMatchObject([
      { t: 'record', device, epoch, record: { seq: 1, kind: 'snapshot', name: 'a', rows: [['x']] } },
      { t: 'record', device, epoch, record: { seq: 2 } },
      { t: 'ledger', device, epoch, received: [[1, 2]], lost: [] },
    ])
    await store.receipt(await receipt(first))
    publish(snapshot('a', 'y'))
    expect((await decode(await next())).header).toMatchObject({ n: 2, prev: first.sha256 })
    await store.receipt(await receipt(await next()))
    expect(await store.segments.formNext(100_000, nowMs)).toBeUndefined()
  })

  test('are the identical bytes after a restart, and nothing in them is sent twice', async () => {
    publish(snapshot('a'))
    const before = await next()
    store.close()
    store = await open()
    expect(Buffer.compare(Buffer.from((await next()).file), Buffer.from(before.file))).toBe(0)
    await store.receipt(await receipt(before))
    expect(await store.segments.formNext(100_000, nowMs)).toBeUndefined()
  })

  test('are as large as asked, however much waits', async () => {
    publish(...Array.from({ length: 200 }, (_, n) => snapshot(`q${n}`, `${n} ${'abcdefghij'.repeat(20)}`)))
    let count = 0
    for (;;) {
      const segment = (store.segments.pending() ?? (await store.segments.formNext(2000, nowMs))) as FormedSegment
      if (segment === undefined) break
      expect(segment.file.byteLength).toBeLessThan(8000)
      await store.receipt(await receipt(segment))
      count++
      if (count > 150) throw new Error('no end')
    }
    expect(count).toBeGreaterThan(3)
    expect(store.ledger()[0]).toMatchObject({ received: 200, receipted: 200, missingCount: 0 })
  })

  test('take answers and events before history, and newest state before old history when far behind', async () => {
    for (let n = 0; n < 30; n++) publish(snapshot('big', `${n}${'z'.repeat(3000)}`))
    await store.acceptCentre([{ n: 1, jws: await command() }], 1)
    publish(answer('q-1'))
    store.absorbAnswers()
    const lanes: string[] = []
    for (let round = 0; round < 3; round++) {
      const segment = await next()
      const { items } = await decode(segment)
      lanes.push(segment.lane)
      if (segment.lane === 'answers') {
        expect(items.map((item) => item.t)).toEqual(['record', 'query', 'query', 'query'])
      }
      if (segment.lane === 'state') expect(items).toMatchObject([{ t: 'table', name: 'big', seq: 30 }])
      await store.receipt(await receipt(segment))
    }
    expect(lanes).toEqual(['answers', 'state', 'history'])
  })

  test('state goes up in rounds: history moves on although tables keep changing', async () => {
    for (let n = 0; n < 60; n++) publish(snapshot('big', `${n}${'z'.repeat(3000)}`))
    const lanes: string[] = []
    for (let round = 0; round < 4; round++) {
      const segment = await next(600)
      lanes.push(segment.lane)
      await store.receipt(await receipt(segment))
      publish(snapshot('big', `${round} ${'new'.repeat(1000)}`))
    }
    expect(lanes).toEqual(['state', 'history', 'history', 'history'])
    nowMs += 30_000
    expect((await next(600)).lane).toBe('state')
  })

  test('answers wait until they have moved their query on', async () => {
    publish(answer('q-1'))
    expect(await store.segments.formNext(100_000, nowMs)).toBeUndefined()
    store.absorbAnswers()
    expect((await next()).lane).toBe('answers')
  })

  test('that an answer was given is never told before the answer itself', async () => {
    await store.acceptCentre([{ n: 1, jws: await command() }], 1)
    publish(
      ...Array.from({ length: 20 }, (_, part) => ({ ...answer('q-1'), part, parts: 20, rows: [['w'.repeat(400)]] })),
    )
    publish(snapshot('a'))
    store.absorbAnswers()
    let parts = 0
    for (let told = false; !told;) {
      const segment = await next(200)
      const { items } = await decode(segment)
      parts += items.filter((item) => item.t === 'record' && item.record.kind === 'answer').length
      told = items.some((item) => item.t === 'query' && item.state === 'answered')
      expect(told).toBe(parts === 20)
      await store.receipt(await receipt(segment))
    }
  })

  test('records of a journal that was made anew are sent, although their ids begin at 1 again', async () => {
    publish(snapshot('a'), snapshot('b'))
    await store.receipt(await receipt(await next()))
    store.close()
    journal.close()
    for (const name of ['journal.db', 'journal.db-wal', 'journal.db-shm']) rmSync(join(dataDir, name), { force: true })
    journal = new Journal({ path: join(dataDir, 'journal.db') })
    store = await open()
    publish(snapshot('c'))
    expect((await decode(await next())).items).toMatchObject([{ record: { name: 'c' } }, { t: 'ledger' }])
  })
})

test('the backlog is counted exactly while records come, go up and are let go of', async () => {
  publish(snapshot('a'), answer('q-1'), snapshot('b'))
  expect(store.backlog(0)).toMatchObject({ answers: 1, history: 2, unfolded: 2, segments: 0 })
  store.absorbAnswers()
  await store.receipt(await receipt(await next()))
  journal.trimStep(store.trimmable())
  expect(store.backlog(3)).toMatchObject({ answers: 0, history: 2, unfolded: 0, segments: 0 })
  publish(...Array.from({ length: 5 }, (_, n) => snapshot(`q${n}`, 'x'.repeat(500))))
  expect(store.backlog(3).history).toBe(7)
  while (store.backlog(3).history > 3) await store.receipt(await receipt(await next(300)))
  publish(snapshot('c'))
  const { history } = store.backlog(3)
  expect(store.ledger()[0]).toMatchObject({ received: 9, receipted: 9 - history })
  expect(store.backlog(3).oldestMs).toBeTypeOf('number')
})

describe('receipts', () => {
  test('move what the journal may let go of, and only they do', async () => {
    publish(snapshot('a'), answer('q-1'), snapshot('b'))
    store.absorbAnswers()
    expect(store.trimmable()).toEqual({ answersUpTo: 0, historyUpTo: 0 })
    const answers = await next()
    await store.receipt(await receipt(answers))
    expect(store.trimmable()).toEqual({ answersUpTo: 2, historyUpTo: 0 })
    expect(store.ledger()[0]).toMatchObject({ received: 3, receipted: 1 })
    await store.receipt(await receipt(await next()))
    expect(store.trimmable()).toEqual({ answersUpTo: 2, historyUpTo: 3 })
    expect(store.backlog(3)).toMatchObject({ answers: 0, events: 0, history: 0, segments: 0 })
  })

  test('of another chain, hash, site or key are refused and nothing moves', async () => {
    publish(snapshot('a'))
    const segment = await next()
    const wrong = [
      await receipt(segment, { chain: 'another-chain' }),
      await receipt(segment, { sha256: '0'.repeat(64) }),
      await receipt(segment, { upTo: 7 }),
      await receipt(segment, { site: 'plant-b' }),
    ]
    for (const jws of wrong) await expect(store.receipt(jws)).rejects.toThrow()
    const forger = keyPair()
    const forged = await encodeReceipt(
      { site, chain: store.chain, upTo: segment.n, sha256: segment.sha256, atMs: 1 },
      await createSigner(forger.key, forger.pub),
    )
    await expect(store.receipt(forged)).rejects.toThrow(/unknown key/)
    expect(store.trimmable().historyUpTo).toBe(0)
    expect(store.segments.pending()?.n).toBe(1)
  })

  test('let old segments go past the bytes that are kept for a centre that was set back', async () => {
    store.close()
    store = await open({
      segments: { stateLaneAboveBytes: 50_000, stateRoundEveryMs: 30_000, keepReceiptedBytes: 2000 },
    })
    for (let n = 1; n <= 6; n++) {
      publish(snapshot(`q${n}`))
      await store.receipt(await receipt(await next()))
    }
    expect(store.segments.pending(6)?.n).toBe(6)
    expect(store.segments.pending(5)?.n).toBe(5)
    expect(store.segments.pending(1)).toBeUndefined()
  })
})

describe('commands of the centre', () => {
  test('are stored with the position in its queue, and answered ones end', async () => {
    const effects = await store.acceptCentre([{ n: 4, jws: await command() }], 4)
    expect(effects.ready).toEqual([device])
    expect(store.commandCursor()).toBe(4)
    expect(store.take([device])).toMatchObject([{ commandId: 'q-1', device }])
    store.acknowledged([{ commandId: 'q-1', device }])
    publish(answer('q-1'))
    expect(store.absorbAnswers()).toBe(1)
    expect(store.query('q-1')?.deliveries).toMatchObject([{ device, state: 'answered', rows: 2 }])
  })

  test('that are forged or for another site are refused and audited; the rest of the batch counts', async () => {
    const forger = keyPair()
    const forged = await encodeCommand(
      {
        v: 1,
        id: 'q-7',
        kind: 'query',
        authority: 'centre',
        issuedAtMs: 0,
        notBeforeMs: 0,
        notAfterMs: 9e12,
        target: { site, devices: '*' },
        body: { sql: 'SELECT 1' },
      },
      await createSigner(forger.key, forger.pub),
    )
    const batch = [
      { n: 1, jws: forged },
      { n: 2, jws: await command({ id: 'q-2', target: { site: 'plant-b', devices: '*' } }) },
      { n: 3, jws: 'no jws at all' },
      { n: 4, jws: await command() },
    ]
    await store.acceptCentre(batch, 4)
    expect(store.queries({ limit: 9 }).map(({ id }) => id)).toEqual(['q-1'])
    const refused = store.audit({ limit: 9 }).filter(({ action }) => action === 'command-refused')
    expect(refused.map(({ detail }) => detail['reason'])).toEqual(['bad-shape', 'wrong-site', 'unknown-key'])
    expect(store.commandCursor()).toBe(4)
  })
})

test("the plant's live query is signed by the site, reaches '*' and its answers stay readable here", async () => {
  store.presence([{ device, state: 'here', atMs: nowMs }])
  const { id, ready } = await store.plantQuery({ sql: 'SELECT 1 AS n', devices: '*', validForMs: 60_000, by: 'eva' })
  expect(ready).toEqual([device])
  expect(store.take([device])).toHaveLength(1)
  publish(answer(id))
  store.absorbAnswers()
  expect(store.query(id)).toMatchObject({ authority: 'plant', by: 'eva' })
  expect(JSON.parse(store.answer(id, device))).toMatchObject([{ queryId: id, rows: [[1, 2]] }])
})

test('a veto calls back what a device already has', async () => {
  await store.acceptCentre([{ n: 1, jws: await command() }], 1)
  store.take([device])
  store.acknowledged([{ commandId: 'q-1', device }])
  const { ready } = await store.decide('q-1', 'veto', 'eva')
  expect(ready).toEqual([device])
  expect(store.take([device])).toMatchObject([{ commandId: expect.stringMatching(/^c-/) as string }])
})

test('data of another site is refused', async () => {
  await expect(open({ site: 'plant-b' as SiteId })).rejects.toThrow(/belongs to site plant-a/)
})

test('after a restart nobody counts as connected, and the centre is told so once', async () => {
  store.presence([{ device, state: 'here', atMs: 1 }])
  store.close()
  store = await open()
  expect(store.presenceList()).toMatchObject([{ device, state: 'gone' }])
  const { items } = await decode(await next())
  expect(items).toMatchObject([{ t: 'device', device, state: 'gone' }])
})
