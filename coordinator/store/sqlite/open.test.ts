import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { toColumnar, toRows } from '../../../protocol/columnar.ts'
import { diffRows } from '../../../protocol/delta.ts'
import { DeviceId, Epoch, QueryId, SiteId } from '../../../protocol/ids.ts'
import type { AnswerRecord, DeviceRecord } from '../../../protocol/records.ts'
import type { DecodedSegment, SegmentItem } from '../../../protocol/segments.ts'
import { accountFor } from '../../ledger.ts'
import type { QueryInput, Store } from '../store.ts'
import { openSqliteStore } from './open.ts'

const site = SiteId.parse('plant-a')
const device = DeviceId.parse('press-1')
const epoch = Epoch.parse('epoch-0001')
const chain = Epoch.parse('chain-0001')

let folder: string
let path: string
let store: Store

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tidegate-store-'))
  path = join(folder, 'coordinator.db')
  store = openSqliteStore(path)
  await store.addSite({ site, kid: 'k', publicPem: 'pem', who: 'test', atMs: 1 })
})
afterEach(async () => {
  await store.close()
  rmSync(folder, { recursive: true })
})

const sha = (n: number) => String(n).padStart(64, '0')

function segment(n: number, items: SegmentItem[], from = chain): DecodedSegment {
  const prev = n === 1 ? null : sha(n - 1)
  const body = { bodyBytes: 0, bodySha256: sha(0), items: items.length, records: null }
  const header = {
    v: 1,
    site,
    chain: from,
    n,
    lane: 'history' as const,
    prev,
    createdMs: n,
    codec: 'none' as const,
    ...body,
  }
  return { header, items, unknownItems: 0, sha256: sha(n) }
}

function item(record: DeviceRecord, of = device): SegmentItem {
  return { t: 'record', device: of, epoch, receivedAtMs: 1000 + (record.seq ?? 0), record }
}

const tableOf = async () => {
  const table = await store.hostTable({ site, device }, 'q')
  return table && toRows(table.rows)
}

describe('segments', () => {
  test('a repeat after the process died between commit and receipt is recognised by the next one', async () => {
    const first = segment(1, [item({ kind: 'event', seq: 1, name: 'e', columns: ['a'], rows: [[1]] })])
    expect(await store.commitSegment(first, 5)).toMatchObject({ kind: 'committed', newRecords: 1, isNewChain: true })
    await store.close()
    store = openSqliteStore(path)
    expect(await store.commitSegment(first, 6)).toEqual({ kind: 'repeat', n: 1, sha256: sha(1) })
    expect(await store.recordsAfter(0, { maxCount: 10, maxBytes: 1e6 })).toHaveLength(1)
  })

  test('what fails in the middle leaves nothing behind', async () => {
    const bad = { t: 'table', device, name: 'q', columns: ['a'], rows: [[1n]], observedAtMs: 1, receivedAtMs: 1 }
    const half = segment(1, [
      item({ kind: 'event', seq: 1, name: 'e', columns: ['a'], rows: [[1]] }),
      bad as unknown as SegmentItem,
    ])
    await expect(store.commitSegment(half, 5)).rejects.toThrow()
    expect(await store.newestSegment(site, chain)).toBeUndefined()
    expect(await store.hosts({ limit: 10 })).toEqual([])
    expect(await store.epochs({ limit: 10 })).toEqual([])
  })

  test('any history in any segments, repeated and interrupted, ends in the state of the device and a full ledger', async () => {
    const rows = fc.array(fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 1 }), { maxLength: 4 })
    const steps = fc.array(
      fc.record({
        rows,
        full: fc.boolean(),
        newSegment: fc.boolean(),
        repeat: fc.boolean(),
        ahead: fc.boolean(),
        reopen: fc.boolean(),
      }),
      { minLength: 1, maxLength: 12 },
    )
    let run = 0
    await fc.assert(
      fc.asyncProperty(steps, async (plan) => {
        run++
        const ownEpoch = Epoch.parse(`epoch-${1000 + run}`)
        const ownChain = Epoch.parse(`chain-${1000 + run}`)
        const own = DeviceId.parse(`d-${run}`)
        let n = 0
        let before: number[][] | undefined
        let items: SegmentItem[] = []
        for (const [index, step] of plan.entries()) {
          const seq = index + 1
          const head = { seq, name: 'q', columns: ['a'] }
          const change = before && diffRows(before, step.rows)
          const record: DeviceRecord =
            change === undefined || step.full
              ? { ...head, kind: 'snapshot', rows: toColumnar(1, step.rows) }
              : {
                  ...head,
                  kind: 'delta',
                  base: seq - 1,
                  added: toColumnar(1, change.added),
                  removed: toColumnar(1, change.removed),
                }
          if (step.ahead) {
            items.push({
              t: 'table',
              device: own,
              name: 'q',
              epoch: ownEpoch,
              seq,
              observedAtMs: seq,
              receivedAtMs: 1000 + seq,
              columns: ['a'],
              rows: toColumnar(1, step.rows),
            })
          }
          items.push({ t: 'record', device: own, epoch: ownEpoch, receivedAtMs: 1000 + seq, record })
          before = step.rows
          if (step.newSegment || index === plan.length - 1) {
            const next = segment(++n, items, ownChain)
            await store.commitSegment(next, 1)
            if (step.repeat) expect(await store.commitSegment(next, 1)).toMatchObject({ kind: 'repeat' })
            items = []
          }
          if (step.reopen) {
            await store.close()
            store = openSqliteStore(path)
          }
        }
        const table = await store.hostTable({ site, device: own }, 'q')
        expect(table).toMatchObject({ from: 'history', stale: false })
        expect(diffRows(toRows(table?.rows ?? []), before ?? [])).toEqual({ added: [], removed: [] })
        const [ledger] = await store.epochs({ device: own, limit: 1 })
        expect(ledger && accountFor(ledger)).toMatchObject({ sent: plan.length, atCentre: plan.length, missing: 0 })
      }),
      { numRuns: 40 },
    )
  })
})

describe('latest tables', () => {
  const ahead = (seq: number, rows: number[][]): SegmentItem => ({
    t: 'table',
    device,
    name: 'q',
    epoch,
    seq,
    observedAtMs: 1000 + seq,
    receivedAtMs: 1000 + seq,
    columns: ['a'],
    rows: toColumnar(1, rows),
  })
  const full = (seq: number, rows: number[][]) =>
    item({ kind: 'snapshot', seq, name: 'q', columns: ['a'], rows: toColumnar(1, rows) })

  test('rows that came ahead are read until history catches up, and older ones never replace newer', async () => {
    await store.commitSegment(segment(1, [full(1, [[1]]), ahead(5, [[5]]), ahead(4, [[4]])]), 1)
    expect(await tableOf()).toEqual([[5]])
    await store.commitSegment(segment(2, [full(3, [[3]])]), 2)
    expect(await tableOf()).toEqual([[5]])
    await store.commitSegment(segment(3, [full(6, [[6]]), ahead(2, [[2]])]), 3)
    expect(await tableOf()).toEqual([[6]])
    expect(await store.hostTables({ site, device })).toMatchObject([{ name: 'q', rows: 1, stale: false }])
  })

  test('rows that came ahead are kept while history is stale', async () => {
    const misfit = item({ kind: 'delta', seq: 3, base: 2, name: 'q', columns: ['a'], added: [[9]], removed: [[]] })
    await store.commitSegment(segment(1, [full(1, [[1]]), ahead(3, [[3]])]), 1)
    await store.commitSegment(segment(2, [misfit]), 2)
    expect(await tableOf()).toEqual([[3]])
    expect((await store.sites())[0]).toMatchObject({ staleTables: 1 })
  })
})

describe('hosts', () => {
  test('facts make labels, platform and search; hosts come in pages', async () => {
    const facts = (seq: number, name: string, labels: string[]) =>
      item(
        { kind: 'status', seq, facts: { labels, platform: 'debian', hostname: `host-of-${name}` } },
        DeviceId.parse(name),
      )
    await store.commitSegment(
      segment(1, [facts(1, 'b-2', ['press']), facts(1, 'a-1', ['oven', 'hot']), facts(1, 'c-3', [])]),
      1,
    )
    const names = async (filter: object) => (await store.hosts({ limit: 10, ...filter })).map((host) => host.device)
    expect(await names({})).toEqual(['a-1', 'b-2', 'c-3'])
    expect(await names({ label: 'hot' })).toEqual(['a-1'])
    expect(await names({ search: 'HOST-OF-B' })).toEqual(['b-2'])
    expect(await names({ search: 'debian', limit: 2 })).toEqual(['a-1', 'b-2'])
    expect(await names({ after: { site, device: DeviceId.parse('b-2') } })).toEqual(['c-3'])
    await store.commitSegment(segment(2, [facts(2, 'a-1', ['cold'])]), 2)
    expect(await names({ label: 'hot' })).toEqual([])
  })

  test('an older sign of presence does not replace a newer one', async () => {
    const sign = (state: 'here' | 'gone', atMs: number): SegmentItem => ({ t: 'device', device, state, atMs })
    await store.commitSegment(segment(1, [sign('here', 20), sign('gone', 10)]), 1)
    expect(await store.host({ site, device })).toMatchObject({ presence: 'here', presenceAtMs: 20, lastSeenAtMs: 20 })
  })
})

describe('targets', () => {
  const select = (selection: object) =>
    store.resolveTargets({ all: false, sites: [], labels: [], hosts: [], ...selection })

  beforeEach(async () => {
    for (const id of ['plant-b', 'plant-c']) {
      await store.addSite({ site: SiteId.parse(id), kid: id, publicPem: id, who: 'test', atMs: 1 })
    }
    const facts = (name: string, labels: string[]) =>
      item({ kind: 'status', seq: 1, facts: { labels } }, DeviceId.parse(name))
    await store.commitSegment(segment(1, [facts('p-1', ['press']), facts('p-2', [])]), 1)
    const other = segment(1, [facts('p-1', ['press', 'hot'])])
    other.header.site = SiteId.parse('plant-b')
    await store.commitSegment(other, 1)
  })
  const flat = async (selection: object) =>
    (await select(selection)).sites.map((found) => [found.site, found.devices, found.isWhole])

  test('sites and labels narrow each other down, hosts are added, a site without devices is asked as a whole', async () => {
    expect(await flat({ all: true })).toEqual([
      ['plant-c', [], true],
      ['plant-a', ['p-1', 'p-2'], true],
      ['plant-b', ['p-1'], true],
    ])
    expect(await flat({ sites: ['plant-a'], labels: ['press'] })).toEqual([['plant-a', ['p-1'], false]])
    expect(await flat({ labels: ['press'] })).toEqual([
      ['plant-a', ['p-1'], false],
      ['plant-b', ['p-1'], true],
    ])
    expect(await flat({ sites: ['plant-c'], hosts: ['p-2.plant-a'] })).toEqual([
      ['plant-c', [], true],
      ['plant-a', ['p-2'], false],
    ])
    expect(await flat({ hosts: ['p-1'] })).toHaveLength(2)
    expect(await flat({ sites: ['plant-c'], labels: ['press'] })).toEqual([])
  })

  test('what names nothing is said by name', async () => {
    const { unknown } = await select({ sites: ['x'], labels: ['y'], hosts: ['z.plant-a', 'p-1'] })
    expect(unknown).toEqual(['site=x', 'label=y', 'host=z.plant-a'])
  })
})

describe('queries', () => {
  const id = QueryId.parse('q-1')
  const query: QueryInput = {
    id,
    sql: 'SELECT 1',
    targets: ['site=plant-a'],
    createdAtMs: 10,
    notAfterMs: 1000,
    timeoutMs: 1,
    maxRows: 1,
    maxBytes: 1,
    costClass: 'normal',
    by: 'alice',
    why: null,
  }
  const says = (state: 'at-site' | 'dispatched' | 'answered' | 'expired' | 'failed', of?: DeviceId): SegmentItem => ({
    t: 'query',
    queryId: id,
    state,
    atMs: 50,
    ...(of === undefined ? {} : { device: of }),
  })
  const answer = (seq: number, part: number, parts: number, extra: Partial<AnswerRecord> = {}): SegmentItem =>
    item({ kind: 'answer', seq, queryId: id, status: 'ok', columns: ['a'], rows: [[part]], part, parts, ...extra })
  const state = async () => {
    const [target] = await store.queryTargets(id)
    return [target?.state, (await store.query(id))?.isDone]
  }
  const ask = () => store.createQuery(query, [{ site, devices: [device], jws: 'jws' }])

  test('it is answered when the last part is here, in whatever order parts and word come', async () => {
    await ask()
    await store.commitSegment(segment(1, [says('answered', device), answer(1, 1, 2)]), 1)
    expect(await state()).toEqual(['running', false])
    await store.commitSegment(segment(2, [answer(2, 0, 2)]), 2)
    expect(await state()).toEqual(['answered', true])
    await store.commitSegment(segment(3, [says('expired', device), says('dispatched', device)]), 3)
    expect(await state()).toEqual(['answered', true])
  })

  test('parts of a second run are not mixed with those of the first', async () => {
    await ask()
    await store.commitSegment(segment(1, [answer(1, 0, 2), answer(2, 0, 3), answer(3, 1, 2), answer(4, 1, 2)]), 1)
    expect((await store.answersAfter(id, 0, 10)).map(({ part, parts }) => [part, parts])).toEqual([
      [0, 2],
      [1, 2],
    ])
    expect(await store.queryTargets(id)).toMatchObject([{ state: 'answered', rows: 2 }])
  })

  test('an answer that failed ends with its reason', async () => {
    await ask()
    await store.commitSegment(segment(1, [answer(1, 0, 1, { status: 'timeout', message: 'after 60 s' })]), 1)
    expect(await store.queryTargets(id)).toMatchObject([{ state: 'failed', reason: 'timeout: after 60 s' }])
  })

  test('the end of validity ends what is open as unreachable, and a late answer replaces that', async () => {
    await ask()
    expect(await store.expireTargets(999, [{ site, validBeforeMs: 999, reason: 'x' }])).toEqual([])
    expect(await store.expireTargets(1001, [{ site, validBeforeMs: 1001, reason: 'site link down' }])).toEqual([id])
    expect(await store.queryTargets(id)).toMatchObject([{ state: 'unreachable', reason: 'site link down' }])
    await store.commitSegment(segment(1, [says('answered', device)]), 1)
    expect(await state()).toEqual(['unreachable', true])
    await store.commitSegment(segment(2, [answer(1, 0, 1)]), 2)
    expect(await state()).toEqual(['answered', true])
  })

  test('an answer that never came whole says so when it ends', async () => {
    await ask()
    await store.commitSegment(segment(1, [says('answered', device), answer(1, 0, 2)]), 1)
    await store.expireTargets(2000, [{ site, validBeforeMs: 2000, reason: 'no word' }])
    expect((await store.queryTargets(id))[0]?.reason).toBe('part of the answer is missing; no word')
  })

  test('a site that was asked as a whole is done when those that reported are', async () => {
    await store.createQuery(query, [{ site, devices: null, jws: 'jws' }])
    await store.commitSegment(segment(1, [says('at-site'), says('dispatched', device)]), 1)
    expect(await state()).toEqual(['at-site', false])
    await store.commitSegment(segment(2, [answer(1, 0, 1)]), 2)
    expect(await state()).toEqual(['answered', true])
  })

  test('a word about the whole site reaches each of its devices', async () => {
    await ask()
    await store.commitSegment(segment(1, [says('failed')]), 1)
    expect(await state()).toEqual(['failed', true])
  })
})

describe('commands', () => {
  const limit = { nowMs: 100, maxCount: 10, maxBytes: 1000 }
  const put = (n: number, notAfterMs = 500) =>
    store.createQuery(
      {
        ...{ id: QueryId.parse(`q-${n}`), sql: 'SELECT 1', targets: [], createdAtMs: 10, notAfterMs, timeoutMs: 1 },
        ...{ maxRows: 1, maxBytes: 1, costClass: 'normal', by: 'alice', why: null },
      },
      [{ site, devices: null, jws: `jws-${n}` }],
    )
  const numbers = async (after: number, given = limit) => {
    const { commands, upTo } = await store.commandsAfter(site, after, given)
    return [commands.map(({ n, jws }) => `${n}:${jws}`), upTo]
  }

  test('they are numbered per site, skipped once over, and given out in portions', async () => {
    await put(1)
    await put(2, 50)
    await put(3)
    expect(await numbers(0)).toEqual([['1:jws-1', '3:jws-3'], 3])
    expect(await numbers(1)).toEqual([['3:jws-3'], 3])
    expect(await numbers(3)).toEqual([[], 3])
    expect(await numbers(0, { ...limit, maxBytes: 6 })).toEqual([['1:jws-1'], 2])
    expect(await numbers(0, { ...limit, maxCount: 1 })).toEqual([['1:jws-1'], 1])
  })

  test('after a restored backup nothing is numbered below what the gateway has seen', async () => {
    await put(1)
    await numbers(0)
    await put(2)
    await put(3)
    expect(await numbers(57)).toEqual([['58:jws-2', '59:jws-3'], 59])
    await put(4)
    expect(await numbers(59)).toEqual([['60:jws-4'], 60])
    expect((await store.auditAfter(0, 100)).at(-2)).toMatchObject({ what: 'commands.renumber', detail: { seen: 57 } })
  })
})

describe('retention', () => {
  test('history goes with age, but never what the result log still needs; tables, ledger and audit stay', async () => {
    const event = (seq: number) => item({ kind: 'event', seq, name: 'e', columns: ['a'], rows: [[seq]] })
    const table = item({ kind: 'snapshot', seq: 4, name: 'q', columns: ['a'], rows: [[4]] })
    await store.commitSegment(segment(1, [event(1), event(2), event(3), table]), 100)
    const ids = async () => (await store.recordsAfter(0, { maxCount: 10, maxBytes: 1e6 })).map(({ id }) => id)
    expect(await store.prune(50, Infinity)).toBe(0)
    expect(await store.prune(200, 2)).toBe(2)
    expect(await ids()).toEqual([3, 4])
    while ((await store.prune(200, 1e9)) > 0);
    expect(await ids()).toEqual([])
    expect(await tableOf()).toEqual([[4]])
    expect((await store.epochs({ limit: 1 }))[0]).toMatchObject({ received: [[1, 4]] })
  })

  test('a closed query goes with its answers; an open one stays', async () => {
    const make = (name: string) =>
      store.createQuery(
        {
          ...{ id: QueryId.parse(name), sql: 'SELECT 1', targets: [], createdAtMs: 1, notAfterMs: 10, timeoutMs: 1 },
          ...{ maxRows: 1, maxBytes: 1, costClass: 'normal', by: 'alice', why: null },
        },
        [{ site, devices: [device], jws: 'jws' }],
      )
    await make('q-done')
    await store.expireTargets(20, [{ site, validBeforeMs: 20, reason: 'gone' }])
    await make('q-open')
    while ((await store.prune(200, 1e9)) > 0);
    expect((await store.queries({ limit: 10 })).map(({ id }) => id)).toEqual(['q-open'])
  })
})
