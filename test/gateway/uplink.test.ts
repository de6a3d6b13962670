import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { GatewayStatus } from '../../gateway/admin/status.ts'
import { CentrePeer } from './centre-peer.ts'
import { Plant, site, snapshot } from './plant.ts'

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

const alarmIs = (code: string) => (line: Record<string, unknown>) => line['alarm'] === code
const status = () => plant.api<GatewayStatus>('GET', '/v1/status')

describe('segments', () => {
  test('bring every record to the centre once, and the journal lets go of what has a receipt', async () => {
    const gateway = await plant.run()
    const device = await plant.device('press-1')
    for (let n = 0; n < 20; n++) await device.publish(snapshot('uptime', `${n}`))
    await centre.until(() => centre.recordCounts().size === 20)
    expect([...new Set(centre.recordCounts().values())]).toEqual([1])
    expect(centre.segments.every(({ header }, index) => header.n === index + 1)).toBe(true)
    expect((await status()).ledger).toContain('received 20')
    await gateway.line(({ msg, historyUpTo }) => msg === 'journal trimmed' && historyUpTo === 20)
    expect(centre.items.filter((item) => item.t === 'ledger').at(-1)).toMatchObject({ received: [[1, 20]], lost: [] })
  })

  test('that were cut in the middle, or whose receipt was lost, come again as identical bytes', async () => {
    centre.faults.push({ kind: 'cut', afterBytes: 1 }, { kind: 'cut-answer' })
    const gateway = await plant.run()
    const device = await plant.device('press-1')
    await device.publish(snapshot('uptime', 'x'.repeat(50_000)))
    await centre.until(() => centre.arrivals.filter(({ n }) => n === 1).length === 3)
    const hashes = centre.arrivals.filter(({ n }) => n === 1).map(({ sha256 }) => sha256)
    expect(new Set(hashes.slice(1)).size).toBe(1)
    await centre.until(() => centre.recordCounts().size === 1)
    expect(gateway.child.exitCode).toBeNull()
  })

  test('survive a gateway that is killed while one is on its way', async () => {
    centre.faults.push({ kind: 'cut-answer' })
    const first = await plant.run()
    const device = await plant.device('press-1')
    await device.publish(snapshot('uptime', '1'))
    await centre.until(() => centre.arrivals.length >= 1)
    await first.end('SIGKILL')
    await plant.run()
    const again = await plant.device('press-1')
    await again.publish(snapshot('uptime', '2'))
    await centre.until(() => centre.recordCounts().size === 2)
    expect([...new Set(centre.recordCounts().values())]).toEqual([1])
    expect(new Set(centre.arrivals.filter(({ n }) => n === 1).map(({ sha256 }) => sha256)).size).toBe(1)
  })

  test('wait while the link is cut and drain afterwards, newest state before history', async () => {
    plant.configure(centre.url, { uplink: { linger: '20ms', stateLaneAbove: '20KiB', segmentBytes: '4KiB' } })
    await centre.cutLink()
    await plant.run()
    const device = await plant.device('press-1')
    for (let n = 0; n < 60; n++) {
      await device.publish(
        ...Array.from({ length: 10 }, (_, k) => snapshot(`q${k}`, `${n} ${Math.random()} ${'y'.repeat(200)}`)),
      )
    }
    const waiting = await status()
    expect(waiting.uplink).toMatchObject({
      isUp: false,
      lastError: expect.stringContaining('nothing listens') as string,
    })
    expect(waiting.uplink.backlog.history + waiting.uplink.backlog.segments).toBeGreaterThan(100)
    // A question to the site state waits until everything is folded.
    await plant.api('POST', '/v1/query', { sql: 'SELECT 1' })
    await centre.restoreLink()
    await centre.until(() => centre.recordCounts().size === 600)
    const lanes = centre.segments.map(({ header }) => header.lane)
    expect(lanes.indexOf('state')).toBeLessThan(lanes.lastIndexOf('history'))
    const firstState = centre.segments.findIndex(({ header }) => header.lane === 'state')
    const sentBefore = centre.segments
      .slice(0, firstState)
      .flatMap(({ items }) => items)
      .filter(({ t }) => t === 'record')
    expect(sentBefore.length).toBeLessThan(100)
    const tables = centre.segments.flatMap(({ items }) => items).filter((item) => item.t === 'table')
    expect(new Set(tables.map(({ name }) => name)).size).toBe(10)
    expect((await status()).ledger).toMatch(/received 600, .*missing 0/)
  })
})

describe('a chain that does not fit', () => {
  test('raises an alarm when the centre lost segments that are gone here, and goes on once it has them back', async () => {
    plant.configure(centre.url, { uplink: { linger: '1ms', keepReceipted: '0B' } })
    const gateway = await plant.run()
    const device = await plant.device('press-1')
    for (let n = 0; n < 3; n++) {
      const segments = centre.segments.length
      await device.publish(snapshot('uptime', `${n}`))
      await centre.until(() => centre.segments.length > segments && centre.recordCounts().size === n + 1)
    }
    const kept = centre.segments.slice()
    centre.forgetAfter(1)
    await device.publish(snapshot('uptime', 'last'))
    await gateway.line(alarmIs('CENTRE_BEHIND'))
    expect((await status()).uplink.alarms.map(({ code }) => code)).toEqual(['CENTRE_BEHIND'])
    centre.segments.push(...kept.slice(1))
    await centre.until(() => centre.recordCounts().size === 4)
    expect(centre.segments.length).toBe(kept.length + 1)
  })

  test('mends itself while the segments that the centre lost are still kept here', async () => {
    const gateway = await plant.run()
    const device = await plant.device('press-1')
    for (let n = 0; n < 3; n++) {
      await device.publish(snapshot('uptime', `${n}`))
      await centre.until(() => centre.recordCounts().size === n + 1)
    }
    centre.forgetAfter(1)
    await device.publish(snapshot('uptime', 'last'))
    await centre.until(() => centre.recordCounts().size === 4)
    expect([...new Set(centre.recordCounts().values())]).toEqual([1])
    expect(gateway.lines.some(alarmIs('CENTRE_BEHIND'))).toBe(false)
  })

  test('a receipt for something else deletes nothing and raises an alarm', async () => {
    centre.faults.push({ kind: 'wrong-receipt' })
    const gateway = await plant.run()
    const device = await plant.device('press-1')
    await device.publish(snapshot('uptime', '1'))
    await gateway.line(alarmIs('RECEIPT_WRONG'))
    await device.publish(snapshot('uptime', '2'))
    await centre.until(() => centre.recordCounts().size === 2)
    expect([...new Set(centre.recordCounts().values())]).toEqual([1])
    await gateway.line(({ msg }) => msg === 'RECEIPT_WRONG is over')
  })

  test('a refusal of the centre is named, and the same segment is tried again', async () => {
    centre.faults.push({
      kind: 'reply',
      status: 422,
      body: { error: { code: 'unknown-key', message: 'not this key' } },
    })
    const gateway = await plant.run()
    const device = await plant.device('press-1')
    await device.publish(snapshot('uptime', '1'))
    const line = await gateway.line(alarmIs('CENTRE_REFUSES'))
    expect(JSON.stringify(line)).toContain('422 unknown-key not this key')
    await centre.until(() => centre.recordCounts().size === 1)
  })
})

test('a site that never reaches the centre, not even its name, serves its devices all the same', async () => {
  plant.configure('https://centre.invalid:8443')
  await plant.run()
  const device = await plant.device('press-1')
  await device.publish({ ...snapshot('uptime', '7'), table: 'uptime' })
  const rows = await plant.cli('query', '--json', 'SELECT device, v FROM uptime')
  expect(JSON.parse(rows.stdout)).toEqual([{ device: 'press-1', v: '7' }])
})
