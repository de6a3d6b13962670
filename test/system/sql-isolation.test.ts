// The plant engineer's SQL never stands in a device's way: while a cartesian join runs until its limit, publishes are
// acknowledged as before. Judged by order of events, not by time.
import { mkdtempSync, rmSync } from 'node:fs'
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
  stack = await Stack.create({ folder, devices: ['press-1'], schedule: {}, gateway: { query: { timeout: '3s' } } })
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
  const query = stack.gatewayCommand('query', join4).finally(() => (isAnswered = true))
  await until('the statement to run', async () => {
    // The process of its own shows that the statement has begun.
    const { queries } = await stack.admin<{ queries: unknown }>('/v1/status')
    return queries === undefined ? undefined : true
  })
  // One after the other: each waits for the PUBACK of the one before.
  publisher.wanted = 101
  await until('100 more acknowledgements', () => (publisher.isDone ? true : undefined))
  expect(isAnswered).toBe(false)

  const { code, stderr } = await query
  expect(code).toBe(1)
  expect(stderr).toContain('QUERY_TIMEOUT')
  await publisher.stop()
})
