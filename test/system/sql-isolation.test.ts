// The plant engineer's SQL never stands in a device's way: while a cartesian join runs until its limit, publishes are
// acknowledged as before. Judged by order of events, not by time.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { until } from '../../cli/demo/processes.ts'
import { site, Stack } from '../../cli/demo/stack.ts'
import { Publisher } from '../support/publisher.ts'

let folder: string
let stack: Stack

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tg-isolation-'))
  stack = await Stack.create({ folder, devices: ['press-1'], schedule: {} })
  await stack.startCoordinator()
  await stack.startGateway()
})
afterAll(async () => {
  await stack?.stop()
  rmSync(folder, { recursive: true, force: true })
})

test('a cartesian join that runs until its limit delays no acknowledgement of a device', async () => {
  const numbers = Array.from({ length: 1000 }, (_, index) => index)
  const publisher = new Publisher({
    device: 'press-1',
    leaf: stack.pki.device(site, 'press-1'),
    ca: join(stack.pki.root, 'ca.pem'),
    port: stack.ports.mqtt,
    recordsPerEnvelope: 1,
    maxInFlight: 1,
    record: () => ({ name: 'numbers', columns: ['n'], rows: [numbers] }),
  })
  publisher.wanted = 1
  publisher.start()
  await until('the first snapshot', () => (publisher.isDone ? true : undefined))

  let isAnswered = false
  const join4 = 'SELECT count(*) FROM numbers a, numbers b, numbers c, numbers d WHERE a.n + b.n + c.n + d.n = -1'
  const query = stack.gatewayCommand('query', '--timeout', '8s', join4).finally(() => (isAnswered = true))
  await until('the process of the statement', () => (sqlProcesses() > 0 ? true : undefined))
  // One after the other: each waits for the PUBACK of the one before.
  publisher.wanted = 51
  await until('50 more acknowledgements', () => (publisher.isDone ? true : undefined))
  expect(isAnswered).toBe(false)

  const { code, stderr } = await query
  expect(code).toBe(1)
  expect(stderr).toContain('QUERY_TIMEOUT')
  await publisher.stop()
})

/** Processes of the gateway that run ad-hoc SQL: started with the first statement. */
function sqlProcesses(): number {
  const pid = stack.program('gateway').pid
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).length
}
