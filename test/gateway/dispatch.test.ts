import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { encodeCommand, type CommandInput } from '../../protocol/commands.ts'
import { createSigner } from '../../protocol/jws.ts'
import type { AuditRow, AuditVerdict } from '../../gateway/audit/audit-log.ts'
import type { QueryDetail, QuerySummary } from '../../gateway/dispatch/read.ts'
import { CentrePeer } from './centre-peer.ts'
import { Plant, site } from './plant.ts'

let plant: Plant
let centre: CentrePeer

beforeEach(async () => {
  plant = await Plant.create(['press-1', 'press-2'])
  centre = await CentrePeer.start(plant.pki, site)
  plant.configure(centre.url)
})

afterEach(async () => {
  await plant.remove()
  await centre.stop()
})

const askAll = (id: string, overrides: Partial<CommandInput> = {}) =>
  centre.command({ id, kind: 'query', body: { sql: 'SELECT 1' }, by: 'ada', why: 'test', ...overrides } as CommandInput)
const detail = (id: string) => plant.api<QueryDetail>('GET', `/v1/queries/${id}`)

describe('a query of the centre', () => {
  test('reaches a device that is here and one that comes later, and both answers go up with its story', async () => {
    await plant.run()
    const first = await plant.device('press-1')
    await first.subscribe()
    await askAll('q-1')
    expect(await first.command()).toMatchObject({ id: 'q-1', kind: 'query', by: 'ada' })
    await first.answer('q-1', [[1, 2]])
    await centre.until(() => centre.story('q-1').includes('press-1 answered'))
    const second = await plant.device('press-2')
    await second.subscribe()
    expect((await second.command()).id).toBe('q-1')
    await second.answer('q-1', [[3]])
    await centre.until(() => centre.story('q-1').includes('press-2 answered'))
    const steps = ['at-site', 'dispatched', 'running', 'answered']
    const story = centre.story('q-1')
    for (const device of ['press-1', 'press-2']) {
      expect(story.filter((step) => step.startsWith(device))).toEqual(steps.map((step) => `${device} ${step}`))
    }
    expect(story[0]).toBe('* at-site')
    const answers = centre.items.filter((item) => item.t === 'record' && item.record.kind === 'answer')
    expect(answers).toHaveLength(2)
  })

  test('is sent again after the gateway was killed before the device acknowledged it', async () => {
    const gateway = await plant.run()
    await askAll('q-1', { target: { site, devices: ['press-1'] } } as Partial<CommandInput>)
    await centre.until(() => centre.story('q-1').length > 0)
    await gateway.end('SIGKILL')
    await plant.run()
    const device = await plant.device('press-1')
    await device.subscribe()
    expect((await device.command()).id).toBe('q-1')
  })

  test('with a forged signature or for another site goes nowhere and stands in the audit log', async () => {
    await plant.run()
    const device = await plant.device('press-1')
    await device.subscribe()
    const siteKey = (name: string) => readFileSync(join(plant.pki, 'sites', site, name), 'utf8')
    const forged = await encodeCommand(
      {
        v: 1,
        id: 'q-forged',
        kind: 'query',
        authority: 'centre',
        issuedAtMs: 0,
        notBeforeMs: 0,
        notAfterMs: 9e12,
        target: { site, devices: '*' },
        body: { sql: 'SELECT 1' },
      },
      await createSigner(siteKey('signing.key'), siteKey('signing.pub')),
    )
    centre.commandAsIs(forged)
    await askAll('q-elsewhere', { target: { site: 'plant-b', devices: '*' } } as Partial<CommandInput>)
    await askAll('q-good')
    expect((await device.command()).id).toBe('q-good')
    const { rows } = await plant.api<{ rows: AuditRow[] }>('GET', '/v1/audit')
    const refused = rows.filter(({ action }) => action === 'command-refused').map(({ detail }) => detail['reason'])
    expect(refused).toEqual(['wrong-site', 'unknown-key'])
  })

  test('that expires says for each device how far it came', async () => {
    await plant.run()
    const device = await plant.device('press-1')
    await device.subscribe()
    const now = Date.now()
    await askAll('q-1', {
      notAfterMs: now + 1500,
      target: { site, devices: ['press-1', 'press-2'] },
    } as Partial<CommandInput>)
    await device.command()
    await centre.until(() => centre.story('q-1').filter((step) => /expired|unreachable/.test(step)).length === 2)
    const reasons = centre.items.flatMap((item) =>
      item.t === 'query' && item.reason ? [[item.device, item.reason]] : [],
    )
    expect(Object.fromEntries(reasons)).toEqual({
      'press-1': 'acknowledged but did not answer while it was valid',
      'press-2': 'no device of this name has ever been at this site',
    })
  })
})

describe('the plant decides', () => {
  beforeEach(() => {
    plant.configure(centre.url, {
      consent: {
        rules: [
          { costClass: 'heavy', action: 'veto', reason: 'no heavy queries here' },
          { authority: 'centre', action: 'ask' },
        ],
      },
    })
  })

  test('a query waits for consent, and goes out when a person allows it', async () => {
    await plant.run()
    const device = await plant.device('press-1')
    await device.subscribe()
    await askAll('q-1')
    await centre.until(() => centre.story('q-1').includes('* awaiting-consent'))
    expect((await plant.cli('queries')).stdout).toContain('ask')
    const allowed = await plant.cli('allow', 'q-1', '--reason', 'fine')
    expect(allowed).toMatchObject({ code: 0, stdout: 'q-1: allowed\n' })
    expect((await device.command()).id).toBe('q-1')
    const audit = await plant.cli('audit', '--query', 'q-1', '--json')
    const actions = (JSON.parse(audit.stdout) as AuditRow[]).map(({ action }) => action)
    expect(actions).toContain('consent-allow')
    expect(actions.at(-1)).toBe('command-received')
  })

  test('a veto by rule or by hand ends it with the reason, at the site and at the centre', async () => {
    await plant.run()
    await plant.device('press-1')
    await askAll('q-heavy', { body: { sql: 'SELECT 1', costClass: 'heavy' } } as Partial<CommandInput>)
    await centre.until(() => centre.story('q-heavy').includes('* vetoed'))
    await askAll('q-1')
    await centre.until(() => centre.story('q-1').includes('* awaiting-consent'))
    expect((await plant.cli('veto', 'q-1', '--reason', 'line 2 is in maintenance')).code).toBe(0)
    await centre.until(() => centre.story('q-1').includes('press-1 vetoed'))
    expect((await detail('q-1')).deliveries).toMatchObject([{ state: 'vetoed', reason: 'line 2 is in maintenance' }])
    const late = await plant.cli('allow', 'q-nobody')
    expect(late.code).toBe(1)
    expect(late.stderr).toContain('QUERY_UNKNOWN')
  })
})

test('a cancel ends waiting devices and is passed on to a running one', async () => {
  await plant.run()
  const device = await plant.device('press-1')
  await device.subscribe()
  await askAll('q-1', { target: { site, devices: ['press-1', 'press-2'] } } as Partial<CommandInput>)
  await device.command()
  await centre.until(() => centre.story('q-1').includes('press-1 running'))
  await centre.command({ id: 'c-1', kind: 'cancel', body: { queryId: 'q-1' } } as CommandInput)
  expect(await device.command()).toMatchObject({ kind: 'cancel', body: { queryId: 'q-1' } })
  await device.publish({
    kind: 'answer',
    queryId: 'q-1',
    status: 'cancelled',
    columns: [],
    rows: [],
    part: 0,
    parts: 1,
  })
  await centre.until(() => centre.story('q-1').filter((step) => step.endsWith('failed')).length === 2)
  expect((await detail('q-1')).deliveries).toMatchObject([
    { device: 'press-1', state: 'failed', reason: 'cancelled' },
    { device: 'press-2', state: 'failed', reason: 'cancelled' },
  ])
})

test("the plant's own live query is answered without the centre, as rows with their device", async () => {
  await centre.cutLink()
  await plant.run()
  const device = await plant.device('press-1')
  await device.subscribe()
  const asking = plant.cli('query', '--live', '--json', 'SELECT n FROM t')
  const command = await device.command()
  expect(command).toMatchObject({ authority: 'plant', kind: 'query', body: { sql: 'SELECT n FROM t' } })
  await device.answer(command.id, [[41, { i: '9007199254740993' }]])
  const { code, stdout } = await asking
  expect(code).toBe(0)
  expect(JSON.parse(stdout)).toEqual([
    { device: 'press-1', c0: '41' },
    { device: 'press-1', c0: '9007199254740993' },
  ])
  const { queries } = await plant.api<{ queries: QuerySummary[] }>('GET', '/v1/queries')
  expect(queries).toMatchObject([{ authority: 'plant', devices: { answered: 1 }, isClosed: false }])
  expect(await plant.api<AuditVerdict>('GET', '/v1/audit/verify')).toMatchObject({ ok: true })
})
