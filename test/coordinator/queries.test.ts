// The life of a query between people, the centre and sites: over the public API on one side and the sites' on the other.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Agent, request } from 'undici'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ProgressLine, QueryDetail, StreamLine, TargetView } from '../../protocol/api.ts'
import { Deployment, eventually, FakeGateway } from './harness.ts'
import { answer, press1, press2, queryItem, recordItem, snapshot } from './items.ts'

let deployment: Deployment
let gateway: FakeGateway
let seq = 100

beforeAll(async () => {
  deployment = await Deployment.create()
  await deployment.start()
  gateway = new FakeGateway(deployment)
  await gateway.send('history', [
    { t: 'device', device: press1, state: 'here', atMs: Date.now() },
    { t: 'device', device: press2, state: 'here', atMs: Date.now() },
    recordItem({ kind: 'status', seq: 1, facts: { labels: ['press'], platform: 'debian' } }, press1),
  ])
})
afterAll(() => deployment.remove())

async function ask(body: object): Promise<QueryDetail> {
  const reply = await deployment.api('POST', '/api/v1/queries', { sql: 'SELECT pid, name FROM processes', ...body })
  expect(reply.status, reply.text).toBe(201)
  return reply.body as QueryDetail
}

async function show(id: string): Promise<QueryDetail> {
  return (await deployment.api('GET', `/api/v1/queries/${id}`)).body as QueryDetail
}

const deviceIn = (query: QueryDetail, device: string) =>
  query.devices.find((target) => target.device === device) as TargetView

async function newestCommand(after = 0) {
  const { commands } = await gateway.commands(after)
  const last = commands.at(-1)
  if (last === undefined) throw new Error('no command')
  return last
}

test('a query is signed for its site, answered in parts, and its rows come once', async () => {
  const { id, devices } = await ask({ targets: ['site=plant-a'], why: 'audit 7' })
  expect(devices.map(({ device, state }) => [device, state])).toEqual([
    ['press-1', 'queued'],
    ['press-2', 'queued'],
  ])
  const { command } = await newestCommand()
  expect(command).toMatchObject({
    id,
    kind: 'query',
    authority: 'centre',
    by: 'alice',
    why: 'audit 7',
    target: { site: 'plant-a', devices: ['press-1', 'press-2'] },
    body: { sql: 'SELECT pid, name FROM processes', costClass: 'normal' },
  })
  await gateway.send('answers', [queryItem(id, 'at-site'), queryItem(id, 'dispatched', 'press-1')])
  await gateway.send('answers', [recordItem(answer(seq++, id, [[1, 'init']], 0, 2), press1)])
  expect(deviceIn(await show(id), 'press-1')).toMatchObject({ state: 'running', final: false })
  await gateway.send('answers', [
    queryItem(id, 'answered', 'press-1'),
    queryItem(id, 'answered', 'press-2'),
    recordItem(answer(seq++, id, [[2, 'sh']], 1, 2), press1),
  ])
  const half = await show(id)
  expect(deviceIn(half, 'press-1')).toMatchObject({ state: 'answered', rows: 2 })
  expect(deviceIn(half, 'press-2')).toMatchObject({ state: 'running', waitingFor: 'answer-incomplete' })
  await gateway.send('answers', [recordItem(answer(seq++, id, []), press2)])
  expect(await show(id)).toMatchObject({ status: 'done', counts: { targets: 2, answered: 2, failed: 0, waiting: 0 } })
  const lines = ndjson((await deployment.api('GET', `/api/v1/queries/${id}/results`)).text)
  expect(lines.map((line) => (line.type === 'answer' ? [line.host, line.rows] : line.type))).toEqual([
    ['press-1.plant-a', [[1, 'init']]],
    ['press-1.plant-a', [[2, 'sh']]],
    ['press-2.plant-a', []],
    'end',
  ])
})

test('a long poll ends the moment a command is queued, and goes on where it was left', async () => {
  const { upTo } = await gateway.commands(0)
  const polling = gateway.commands(upTo, 30_000)
  const { id } = await ask({ targets: ['host=press-1'] })
  const { commands } = await polling
  expect(commands.map(({ n, command }) => [n, command.id])).toEqual([[upTo + 1, id]])
  expect((await gateway.commands(upTo)).commands).toHaveLength(1)
  expect(await gateway.commands(upTo + 1)).toEqual({ commands: [], upTo: upTo + 1 })
})

test('a follower sees rows and progress as they come, and can resume from a cursor', async () => {
  const { id } = await ask({ targets: ['label=press'] })
  const agent = new Agent({ connect: { ca: readFileSync(join(deployment.pki.root, 'ca.pem')) } })
  const follow = async (query: string, headers: Record<string, string> = {}) => {
    const { body } = await request(`https://localhost:${deployment.apiPort}/api/v1/queries/${id}/results?${query}`, {
      dispatcher: agent,
      headers: { authorization: `Bearer ${deployment.token}`, ...headers },
    })
    return body
  }
  const reader = linesOf(await follow('follow=true'))
  const first = (await reader.next()).value as ProgressLine
  expect(first).toMatchObject({ type: 'progress', counts: { targets: 1, answered: 0, waiting: 1 } })
  expect(first.missing[0]).toMatchObject({ device: 'press-1', state: 'queued', reason: 'on its way to the site' })
  await gateway.send('answers', [recordItem(answer(seq++, id, [[1, 'a']], 0, 2), press1)])
  const row = await nextAnswer(reader)
  expect(row.rows).toEqual([[1, 'a']])
  await gateway.send('answers', [recordItem(answer(seq++, id, [[2, 'b']], 1, 2), press1)])
  expect((await nextAnswer(reader)).rows).toEqual([[2, 'b']])
  expect((await reader.next()).value).toMatchObject({ type: 'end', status: 'done', missing: [] })
  expect((await reader.next()).done).toBe(true)

  const rest = await (await follow(`follow=true&after=${row.cursor}`)).text()
  expect(ndjson(rest).map((line) => line.type)).toEqual(['answer', 'end'])
  const events = await (
    await follow('follow=true', { accept: 'text/event-stream', 'last-event-id': row.cursor })
  ).text()
  expect(events).toMatch(/^event: answer\nid: \d+\ndata: \{.*\}\n\nevent: end\ndata: \{.*\}\n\n$/)
  await agent.destroy()
})

test('a device that the centre did not know is added when its site names it', async () => {
  await deployment.addSite('plant-b')
  const { id, devices } = await ask({ targets: ['site=plant-b'] })
  expect(devices).toMatchObject([{ site: 'plant-b', state: 'queued', waitingFor: 'never-connected' }])
  const plantB = new FakeGateway(deployment, 'plant-b', 'chain-b-01')
  const { commands } = await plantB.commands(0)
  expect(commands[0]?.command.target).toMatchObject({ devices: '*' })
  await plantB.send('answers', [queryItem(id, 'at-site'), queryItem(id, 'dispatched', 'press-9')])
  expect((await show(id)).devices).toMatchObject([{ state: 'at-site' }, { device: 'press-9', state: 'dispatched' }])
  await plantB.send('answers', [queryItem(id, 'vetoed', 'press-9', 'rule night-shift')])
  expect(await show(id)).toMatchObject({ status: 'done', counts: { failed: 1 } })
  expect(deviceIn(await show(id), 'press-9').reason).toBe('rule night-shift')
})

test('another site cannot answer for the one that was asked', async () => {
  const { id } = await ask({ targets: ['host=press-1'] })
  const plantB = new FakeGateway(deployment, 'plant-b', 'chain-b-02')
  await plantB.send('answers', [
    queryItem(id, 'answered', 'press-1'),
    recordItem(answer(9001, id, [[666, 'forged']]), press1),
  ])
  expect((await show(id)).devices).toMatchObject([{ site: 'plant-a', device: 'press-1', state: 'queued' }])
  expect(ndjson((await deployment.api('GET', `/api/v1/queries/${id}/results`)).text)).toHaveLength(1)
})

test('a query ends unreachable when its time is over without a word, and a late true answer replaces that', async () => {
  const { id } = await ask({ targets: ['host=press-2'], validForMs: 1000 })
  await gateway.hangUp()
  const ended = await eventually('the query to end', async () => {
    const query = await show(id)
    return query.status === 'done' ? query : undefined
  })
  expect(deviceIn(ended, 'press-2')).toMatchObject({ state: 'unreachable', final: true })
  expect(deviceIn(ended, 'press-2').reason).toMatch(/^site link down since \d{4}-/)
  await gateway.send('answers', [recordItem(answer(seq++, id, [[3, 'late']]), press2)])
  expect(deviceIn(await show(id), 'press-2')).toMatchObject({ state: 'answered', rows: 1 })
})

test('while a link is down the missing say so', async () => {
  const { id } = await ask({ targets: ['host=press-2'], validForMs: 600_000 })
  await gateway.commands(0)
  await gateway.hangUp()
  const { waitingFor, reason } = deviceIn(await show(id), 'press-2')
  expect([waitingFor, reason]).toEqual(['link-down', expect.stringMatching(/^link down since \d{4}-/)])
  await gateway.commands(0)
  await gateway.send('answers', [
    queryItem(id, 'dispatched', 'press-2'),
    { t: 'device', device: press2, state: 'gone', atMs: Date.now() },
  ])
  expect(deviceIn(await show(id), 'press-2')).toMatchObject({
    waitingFor: 'device-gone',
    reason: expect.stringMatching(/^device gone since/) as string,
  })
})

test('a cancelled query is withdrawn where it was not fetched, and stopped where it was', async () => {
  const { upTo } = await gateway.commands(0)
  const unfetched = await ask({ targets: ['host=press-1.plant-a'] })
  const cancelled = await deployment.api('POST', `/api/v1/queries/${unfetched.id}/cancel`)
  expect(cancelled.body).toMatchObject({ status: 'done', cancelledBy: 'alice', devices: [{ state: 'failed' }] })
  expect((await gateway.commands(upTo)).commands).toEqual([])

  const fetched = await ask({ targets: ['host=press-1.plant-a'] })
  const before = await gateway.commands(upTo)
  await deployment.api('POST', `/api/v1/queries/${fetched.id}/cancel`)
  const { commands } = await gateway.commands(before.upTo)
  expect(commands[0]?.command).toMatchObject({ kind: 'cancel', body: { queryId: fetched.id } })
  await gateway.send('answers', [
    recordItem(answer(seq++, fetched.id, [], 0, 1, { status: 'cancelled', message: 'by alice' }), press1),
  ])
  const done = await show(fetched.id)
  expect(deviceIn(done, 'press-1')).toMatchObject({ state: 'failed', reason: 'cancelled: by alice' })
  const again = await deployment.api('POST', `/api/v1/queries/${fetched.id}/cancel`)
  expect([again.status, again.body]).toMatchObject([409, { error: { code: 'QUERY_CLOSED' } }])
})

test('what can never run, and targets that do not exist, are refused with a hint', async () => {
  const refused = async (body: object) => {
    const { status, body: answered } = await deployment.api('POST', '/api/v1/queries', body)
    return [status, (answered as { error: { code: string } }).error.code]
  }
  const targets = ['all']
  expect(await refused({ sql: 'DELETE FROM users', targets })).toEqual([422, 'SQL_REFUSED'])
  expect(await refused({ sql: 'SELECT 1; SELECT 2', targets })).toEqual([422, 'SQL_REFUSED'])
  expect(await refused({ sql: 'SELECT 1', targets: ['site=nowhere'] })).toEqual([422, 'TARGET_UNKNOWN'])
  expect(await refused({ sql: 'SELECT 1', targets: ['rack=4'] })).toEqual([422, 'INPUT_INVALID'])
  expect(await refused({ sql: 'SELECT 1', targets: ['site=plant-b', 'label=press'] })).toEqual([422, 'TARGETS_EMPTY'])
  expect(await refused({ sql: 'SELECT 1', targets, surprise: 1 })).toEqual([422, 'INPUT_INVALID'])
})

test('latest rows over hosts carry their age', async () => {
  await gateway.send('history', [
    recordItem(snapshot(50, 'procs', [[1, 'init']], { table: 'processes' }), press1),
    recordItem(snapshot(51, 'procs', [[2, 'sh']]), press2),
  ])
  const byName = (await deployment.api('GET', '/api/v1/results?name=procs&limit=1')).body as {
    results: object[]
    nextCursor: string
  }
  expect(byName.results).toMatchObject([{ host: 'press-1.plant-a', rows: [[1, 'init']] }])
  const next = await deployment.api('GET', `/api/v1/results?name=procs&cursor=${byName.nextCursor}`)
  expect(next.body).toMatchObject({ results: [{ host: 'press-2.plant-a', ageMs: expect.any(Number) as number }] })
  const byTable = await deployment.api('GET', '/api/v1/results?name=processes&label=press')
  expect(byTable.body).toMatchObject({ results: [{ host: 'press-1.plant-a', table: 'processes' }] })
})

test('everything that was done stands in the audit log, and its chain holds', async () => {
  const { entries } = (await deployment.api('GET', '/api/v1/audit?limit=1000')).body as {
    entries: { what: string; who: string; detail: { sql?: string } }[]
  }
  const done = new Set(entries.map(({ what }) => what))
  expect([...done].sort()).toEqual(['chain.start', 'query.cancel', 'query.create', 'site.add', 'token.create'])
  expect(entries.find(({ what }) => what === 'query.create')).toMatchObject({ who: 'alice' })
  expect(await deployment.ok('audit', 'verify')).toMatch(/unbroken/)
})

function ndjson(text: string): StreamLine[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as StreamLine)
}

async function* linesOf(body: AsyncIterable<Uint8Array>): AsyncGenerator<StreamLine> {
  let rest = ''
  for await (const chunk of body) {
    const lines = (rest + Buffer.from(chunk).toString()).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) if (line !== '') yield JSON.parse(line) as StreamLine
  }
}

async function nextAnswer(reader: AsyncGenerator<StreamLine>) {
  for (;;) {
    const { value, done } = await reader.next()
    if (done === true) throw new Error('the stream ended')
    if (value.type === 'answer') return value
  }
}
