// The uplink is cut for the time of 10,000 records, the gateway is restarted twice meanwhile, once by SIGKILL; then the
// link comes back, slow. The centre ends with every record once, and it knew the newest state before it had the history.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Stack, site } from '../../cli/demo/stack.ts'
import { until } from '../../cli/demo/processes.ts'
import type { HostTable, LedgerPage } from '../../protocol/api.ts'
import { Publisher } from '../support/publisher.ts'

const devices = ['press-1', 'press-2', 'press-3', 'press-4']
const recordsPerDevice = 2500
let folder: string
let stack: Stack

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tg-link-'))
  stack = await Stack.create({
    folder,
    devices,
    schedule: {},
    gateway: { log: { level: 'warn' }, uplink: { stateLaneAbove: '64KiB', segmentBytes: '16KiB' } },
  })
  await stack.startCoordinator()
  await stack.startGateway()
})
afterAll(async () => {
  await stack?.stop()
  rmSync(folder, { recursive: true, force: true })
})

test(
  'after a long cut and two restarts the centre has every record once, the newest state first',
  { timeout: 300_000 },
  async () => {
    const publishers = devices.map(
      (device) =>
        new Publisher({
          device,
          leaf: stack.pki.device(site, device),
          ca: join(stack.pki.root, 'ca.pem'),
          port: stack.ports.mqtt,
          recordsPerEnvelope: 20,
          // Random text, so that compression does not make the backlog small.
          record: (seq) => ({ name: 'counter', mode: 'snapshot', columns: ['seq', 'noise'], rows: [[seq], [noise()]] }),
        }),
    )
    const acked = (least: number) => () =>
      publishers.every((publisher) => publisher.acked.count >= least) ? true : undefined

    for (const publisher of publishers) {
      publisher.wanted = 10
      publisher.start()
    }
    await until('the first records at the centre', async () => {
      const { totals } = await stack.api<LedgerPage>('/api/v1/ledger')
      return totals.atCentre === 40 ? true : undefined
    })

    stack.link.cut()
    for (const publisher of publishers) publisher.wanted = recordsPerDevice
    await until('a third to be acknowledged', acked(recordsPerDevice / 3), 120_000)
    await stack.program('gateway').kill()
    await stack.startGateway()
    await until('two thirds to be acknowledged', acked((recordsPerDevice / 3) * 2), 120_000)
    await stack.program('gateway').stop()
    await stack.startGateway()
    await until('all to be acknowledged', acked(recordsPerDevice), 120_000)
    for (const publisher of publishers) await publisher.stop()
    expect((await stack.api<LedgerPage>('/api/v1/ledger')).totals.atCentre).toBe(40)
    const local = await stack.gatewayCommand('query', '--json', 'SELECT device, seq FROM counter ORDER BY device')
    expect(JSON.parse(local.stdout)).toEqual(devices.map((device) => ({ device, seq: String(recordsPerDevice) })))

    stack.link.restore({ bytesPerSecond: 64 * 1024 })
    const sent = devices.length * recordsPerDevice
    const atCentreWhenNewest = await until(
      'the newest state at the centre',
      async () => {
        const newest = await Promise.all(
          devices.map((device) => stack.api<HostTable>(`/api/v1/hosts/${device}.${site}/tables/counter`)),
        )
        if (!newest.every((table) => table.rows[0]?.[0] === recordsPerDevice)) return undefined
        return (await stack.api<LedgerPage>('/api/v1/ledger')).totals.atCentre
      },
      120_000,
    )
    expect(atCentreWhenNewest).toBeLessThan(sent / 2)

    stack.link.restore()
    const { totals, epochs } = await until(
      'the whole history at the centre',
      async () => {
        const page = await stack.api<LedgerPage>('/api/v1/ledger')
        return page.totals.atCentre >= sent ? page : undefined
      },
      180_000,
    )
    expect(totals).toMatchObject({ sent, atCentre: sent, missing: 0, lost: 0 })
    expect(epochs.map(({ device, atCentre, missing }) => [device, atCentre, missing]).sort()).toEqual(
      devices.map((device) => [device, recordsPerDevice, 0]),
    )
  },
)

function noise(): string {
  return Array.from({ length: 8 }, () => Math.random().toString(36).slice(2)).join('')
}
