// The agent as a process, with a gateway that a test directs: commands in, answers out, also when it is killed in between.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { encodeCommand } from '../../protocol/commands.ts'
import type { Signer } from '../../protocol/jws.ts'
import { toRows } from '../../protocol/columnar.ts'
import { device, Pki, site, TestGateway } from './gateway-for-tests.ts'

const program = fileURLToPath(new URL('../../dist/tidegate-agent.js', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'run-'))
/** Runs until it is ended; yields to the engine's checks. */
const endless = 'WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c'
let pki: Pki
let centre: Signer
let gateway: TestGateway
let agent: TestAgent
let count = 0

class TestAgent {
  readonly configPath: string
  readonly log: string[] = []
  #child: ChildProcess | undefined

  constructor(options: Record<string, unknown> = {}) {
    const name = `agent-${++count}`
    this.configPath = join(folder, `${name}.yaml`)
    writeFileSync(
      this.configPath,
      stringify({
        site,
        gateway: `localhost:${gateway.port}`,
        tls: pki.tls,
        trust: pki.trust,
        dataDir: name,
        schedule: {},
        link: { backoffBase: '100ms', backoffMax: '1s' },
        ...options,
      }),
    )
  }

  start(): void {
    const child = spawn(process.execPath, [program, 'run', '--config', this.configPath], {
      stdio: ['ignore', 'inherit', 'pipe'],
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => this.log.push(...text.trimEnd().split('\n')))
    this.#child = child
  }

  async end(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null
    child.kill(signal)
    await once(child, 'exit')
    return child.exitCode
  }

  get logged(): string {
    return this.log.join('\n')
  }

  command(...args: string[]) {
    const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args, '--config', this.configPath], {
      encoding: 'utf8',
    })
    return { status, stdout, stderr }
  }

  async status<T>(): Promise<T> {
    const child = spawn(process.execPath, [program, 'status', '--json', '--config', this.configPath])
    let text = ''
    child.stdout.setEncoding('utf8').on('data', (part: string) => (text += part))
    await once(child, 'close')
    return JSON.parse(text) as T
  }
}

beforeAll(async () => {
  pki = await Pki.create(join(folder, 'pki'))
  centre = pki.centre
})
afterEach(async () => {
  await agent.end('SIGKILL')
  await gateway.stop()
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

async function startBoth(options: Record<string, unknown> = {}): Promise<void> {
  const leaf = pki.paths.gateway(site)
  gateway = await TestGateway.start({ cert: join(leaf, 'cert.pem'), key: join(leaf, 'key.pem') }, pki.ca)
  agent = new TestAgent(options)
  agent.start()
}

/** Resolves when the query is running on the device. */
async function running(id: string): Promise<void> {
  for (;;) {
    const { commands } = await agent.status<{ commands: { running?: string } }>()
    if (commands.running === id) return
  }
}

test('at its start it says what the device is, and its schedule runs', async () => {
  await startBoth({ labels: ['line-1'], schedule: { t: { query: 'SELECT * FROM osquery_info', interval: 1 } } })
  const status = await gateway.until(() => gateway.records.find(({ kind }) => kind === 'status'))
  expect(status).toMatchObject({ facts: { labels: ['line-1'], schedule: ['t'] } })
  expect(await gateway.until(() => gateway.records.find(({ kind }) => kind === 'snapshot'))).toMatchObject({
    name: 't',
  })
  expect(gateway.envelopes[0]).toMatchObject({ v: 1, device, bootId: expect.any(String), uptimeMs: expect.any(Number) })
})

test('a large answer comes in parts that join to all rows, with stats in the last', async () => {
  await startBoth()
  const sql = `WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 20000)
    SELECT x, printf('%050d', x) AS text FROM c`
  const parts = await gateway.answered(await gateway.query(centre, sql, { maxRows: 100_000 }))
  expect(parts.length).toBeGreaterThan(3)
  const rows = parts.flatMap((part) => toRows(part.rows))
  expect(rows.map(([x]) => x)).toEqual(Array.from({ length: 20_000 }, (_, index) => index + 1))
  expect(parts.every(({ status, columns }) => status === 'ok' && columns.join() === 'x,text')).toBe(true)
  expect(parts.map(({ stats }) => stats !== undefined)).toEqual(parts.map((_, index) => index === parts.length - 1))
})

test('limits of the command and of the device both hold, whichever is lower', async () => {
  await startBoth({ query: { maxRows: 50, timeout: '1s' } })
  const sql = 'WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c'
  const [byDevice] = await gateway.answered(await gateway.query(centre, sql, { maxRows: 1000 }))
  expect([byDevice?.rows[0]?.length, byDevice?.truncated]).toEqual([50, 'rows'])
  const [byCommand] = await gateway.answered(await gateway.query(centre, sql, { maxRows: 7 }))
  expect([byCommand?.rows[0]?.length, byCommand?.truncated]).toEqual([7, 'rows'])
  const [late] = await gateway.answered(await gateway.query(centre, endless, { timeoutMs: 3_600_000 }))
  expect(late).toMatchObject({ status: 'timeout', message: expect.stringContaining('1 s') })
})

test('SQL that is wrong is a failed answer that says why', async () => {
  await startBoth()
  const [answer] = await gateway.answered(await gateway.query(centre, 'SELECT * FROM nowhere'))
  expect(answer).toMatchObject({ status: 'failed', message: expect.stringContaining('nowhere') })
})

test('commands that are forged, of another authority, expired or for others are refused, and the next one is answered', async () => {
  await startBoth()
  const stranger = await Pki.create(join(folder, 'stranger'))
  await gateway.query(stranger.centre, 'SELECT 1')
  await gateway.send('not a command')
  await gateway.query(await pki.plant(), 'SELECT 1') // says it is the centre's
  const body = { sql: 'SELECT 1' }
  const hourAgoMs = Date.now() - 3_600_000
  const old = { issuedAtMs: 0, notBeforeMs: 0, notAfterMs: hourAgoMs }
  const expired = await gateway.command(centre, { kind: 'query', id: 'q-old', body, ...old } as never)
  const target = { site: 'plant-b', devices: [device] }
  const elsewhere = await gateway.command(centre, { kind: 'query', id: 'q-b', body, target } as never)
  const [old1] = await gateway.answered(expired)
  expect(old1).toMatchObject({ status: 'refused', message: expect.stringMatching(/^expired: /) })
  const [other] = await gateway.answered(elsewhere)
  expect(other).toMatchObject({ status: 'refused', message: expect.stringMatching(/^not-addressed: /) })
  const [own] = await gateway.answered(
    await gateway.command(await pki.plant(), { kind: 'query', id: 'q-p', authority: 'plant', body } as never),
  )
  expect(own).toMatchObject({ status: 'ok', rows: [[1]] })
  expect(gateway.records.filter(({ kind }) => kind === 'answer')).toHaveLength(3)
  for (const reason of ['unknown-key', 'bad-shape', 'bad-signature']) expect(agent.logged).toContain(reason)
})

test('the same command twice is answered once', async () => {
  await startBoth()
  const nowMs = Date.now()
  const jws = await encodeCommand(
    {
      v: 1,
      id: 'q-twice',
      kind: 'query',
      authority: 'centre',
      issuedAtMs: nowMs,
      notBeforeMs: nowMs,
      notAfterMs: nowMs + 60_000,
      target: { site, devices: '*' },
      body: { sql: 'SELECT 1' },
    } as never,
    centre,
  )
  await gateway.send(jws)
  await gateway.answered('q-twice')
  await gateway.send(jws)
  await agent.end('SIGKILL')
  agent.start()
  await gateway.send(jws)
  await gateway.answered(await gateway.query(centre, 'SELECT 2'))
  expect(gateway.answer('q-twice')).toHaveLength(1)
})

test('killed between the acknowledgement of a query and its answer, it says so; a query that waited runs', async () => {
  await startBoth()
  const started = await gateway.query(centre, endless)
  const waiting = await gateway.query(centre, 'SELECT 42 AS x')
  await running(started)
  await agent.end('SIGKILL')
  agent.start()
  const [interrupted] = await gateway.answered(started)
  expect(interrupted).toMatchObject({ status: 'failed', message: 'the agent restarted while it ran' })
  const [answer] = await gateway.answered(waiting)
  expect(answer).toMatchObject({ status: 'ok', rows: [[42]] })
})

test('a cancel ends a running query and one that waits', async () => {
  await startBoth()
  const started = await gateway.query(centre, endless)
  const waiting = await gateway.query(centre, 'SELECT 1')
  await running(started)
  await gateway.command(centre, { kind: 'cancel', body: { queryId: waiting } as never })
  await gateway.command(centre, { kind: 'cancel', body: { queryId: started } as never })
  expect((await gateway.answered(started))[0]?.status).toBe('cancelled')
  expect((await gateway.answered(waiting))[0]?.status).toBe('cancelled')
})

test('a query that took the engine down is not run again for a day, also after a restart', async () => {
  await startBoth({ query: { memory: '16MiB' } })
  const greedy = `WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 10000)
    SELECT length(group_concat(hex(zeroblob(1000)))) FROM c`
  const [first] = await gateway.answered(await gateway.query(centre, greedy))
  expect(first).toMatchObject({ status: 'failed', message: expect.stringContaining('not run again') })
  await agent.end('SIGKILL')
  agent.start()
  const [second] = await gateway.answered(await gateway.query(centre, greedy))
  expect(second).toMatchObject({ status: 'denylisted', message: expect.stringContaining('beyond 4 MiB') })
  const [other] = await gateway.answered(await gateway.query(centre, 'SELECT 1'))
  expect(other?.status).toBe('ok')
})

test('status tells a person and a script how it is; a second agent on the same data is refused', async () => {
  await startBoth()
  await gateway.until(() => gateway.isListening || undefined)
  const status = await agent.status<Record<string, unknown>>()
  expect(status).toMatchObject({ device, site, connected: true, outbox: { epoch: expect.any(String) }, denyList: [] })
  expect(agent.command('status').stdout).toMatch(
    /^device +press-1 of site plant-a\n(.*\n)*gateway +connected to localhost/,
  )
  expect(agent.command('run')).toMatchObject({ status: 5, stderr: expect.stringContaining('AGENT_RUNNING') })
})

test('on SIGTERM it says that it is gone and ends with 0; status then says that it does not run, exit 4', async () => {
  await startBoth()
  await gateway.until(() => gateway.alive[0])
  expect(await agent.end('SIGTERM')).toBe(0)
  expect(gateway.alive.at(-1)).toEqual({ state: 'gone' })
  expect(agent.command('status')).toMatchObject({ status: 4, stderr: expect.stringContaining('AGENT_NOT_RUNNING') })
})
