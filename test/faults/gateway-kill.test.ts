// PUBACK means durable, whatever happens to the gateway: it is killed with SIGKILL at random moments under load, and
// afterwards every acknowledged record is in the coordinator's result log exactly once.
//   TIDEGATE_KILLS   how many kills (20; `npm run test:faults`: 200)
//   TIDEGATE_SEED    replays the moments of an earlier run
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Stack, site } from '../../cli/demo/stack.ts'
import { until } from '../../cli/demo/processes.ts'
import type { LedgerPage } from '../../protocol/api.ts'
import { Publisher } from '../support/publisher.ts'
import { seededRandom } from '../support/random.ts'

const kills = Number(process.env.TIDEGATE_KILLS ?? 20)
const seed = Number(process.env.TIDEGATE_SEED ?? Math.floor(Math.random() * 2 ** 31))
const devices = Array.from({ length: 6 }, (_, index) => `device-${index + 1}`)
let folder: string
let stack: Stack

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tg-kill-'))
  stack = await Stack.create({ folder, devices, schedule: {}, gateway: { log: { level: 'warn' } } })
  await stack.startCoordinator()
  await stack.startGateway()
})
afterAll(async () => {
  await stack?.stop()
  rmSync(folder, { recursive: true, force: true })
})

test(
  `no acknowledged record is lost and none is delivered twice over ${kills} kills (TIDEGATE_SEED=${seed})`,
  { timeout: 120_000 + kills * 10_000 },
  async () => {
    const random = seededRandom(seed)
    const publishers = devices.map(
      (device) =>
        new Publisher({
          device,
          leaf: stack.pki.device(site, device),
          ca: join(stack.pki.root, 'ca.pem'),
          port: stack.ports.mqtt,
          record: (seq) => ({
            name: 'numbers',
            mode: 'snapshot',
            columns: ['device', 'seq'],
            rows: [[device], [seq]],
          }),
        }),
    )
    for (const publisher of publishers) publisher.start()

    for (let kill = 1; kill <= kills; kill++) {
      const before = publishers.map((publisher) => publisher.acked.count)
      for (const publisher of publishers) publisher.wanted += 200
      await until('acknowledgements', () =>
        publishers.some((publisher, index) => publisher.acked.count > (before[index] ?? 0)) ? true : undefined,
      )
      await setTimeout(random() * 400)
      await stack.program('gateway').kill()
      await stack.startGateway()
    }
    await until(
      'every record to be acknowledged',
      () => (publishers.every((publisher) => publisher.isDone) ? true : undefined),
      120_000,
    )
    for (const publisher of publishers) await publisher.stop()

    const sent = publishers.reduce((sum, publisher) => sum + publisher.wanted, 0)
    const { totals } = await until(
      'the centre to hold every record',
      async () => {
        const page = await stack.api<LedgerPage>('/api/v1/ledger')
        return page.totals.atCentre >= sent ? page : undefined
      },
      120_000,
    )
    expect(totals).toMatchObject({ sent, atCentre: sent, missing: 0, lost: 0 })

    const logged = await until('the result log', () => {
      const found = countLogged(join(folder, 'results.log'))
      return found.size >= sent ? found : undefined
    })
    expect(logged.size).toBe(sent)
    expect([...logged].filter(([, count]) => count !== 1)).toEqual([])
    for (const { device, wanted } of publishers) {
      for (let seq = 1; seq <= wanted; seq++) expect(logged.has(`${device}/${seq}`), `${device}/${seq}`).toBe(true)
    }
  },
)

/** How often each (device, seq) stands in the result log. */
function countLogged(path: string): Map<string, number> {
  const counts = new Map<string, number>()
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    if (line === '' || !line.includes('"numbers"')) continue
    const { snapshot } = JSON.parse(line) as { snapshot: { device: string; seq: string }[] }
    for (const { device, seq } of snapshot) counts.set(`${device}/${seq}`, (counts.get(`${device}/${seq}`) ?? 0) + 1)
  }
  return counts
}
