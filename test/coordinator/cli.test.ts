// The central team's command line against a real coordinator, with a gateway that answers from the other side.
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { programFile } from '../../lib/program-file.ts'
import { Deployment, FakeGateway, runProgram, type Output } from './harness.ts'
import { answer, press1, press2, queryItem, recordItem, snapshot } from './items.ts'

let deployment: Deployment
let gateway: FakeGateway
let seq = 10
let after = 0

beforeAll(async () => {
  deployment = await Deployment.create()
  await deployment.start()
  gateway = new FakeGateway(deployment)
  await gateway.send('history', [
    { t: 'device', device: press1, state: 'here', atMs: Date.now() },
    { t: 'device', device: press2, state: 'gone', atMs: Date.now() },
    recordItem({ kind: 'status', seq: 1, facts: { labels: ['press'], platform: 'debian', version: '0.1.0' } }, press1),
    recordItem(
      snapshot(
        2,
        'procs',
        [
          [1, 'init'],
          [2, 'a,"b"'],
        ],
        { table: 'processes' },
      ),
      press1,
    ),
  ])
})
afterAll(() => deployment.remove())

const tidegate = (...args: string[]): Promise<Output> =>
  runProgram('tidegate.js', args, { ...deployment.environment, NO_COLOR: '1' })

/** The next query that reaches the site. */
async function nextQuery(): Promise<string> {
  const { commands, upTo } = await gateway.commands(after, 20_000)
  after = upTo
  return commands.at(-1)?.command.id ?? 'none'
}

test('sites and hosts are listed with what is known of them', async () => {
  const sites = await tidegate('sites')
  expect(sites.stdout).toMatch(/\| plant-a \| up +\| 1 of 2 +\| 1 /)
  const hosts = await tidegate('hosts', '--label', 'press')
  expect(hosts.stdout).toMatch(/\| press-1\.plant-a \| here .* debian .* 0\.1\.0 .* press /)
  expect(hosts.stdout).not.toMatch(/press-2/)
  const shown = await tidegate('hosts', 'show', 'press-1.plant-a')
  expect(shown.stdout).toMatch(/platform = debian/)
  expect(shown.stdout).toMatch(/\| procs \| processes \| 2 /)
})

test('query prints rows as a table and ends with 0 when everybody answered', async () => {
  const running = tidegate('query', '--target', 'label=press', 'SELECT pid, name FROM processes')
  const id = await nextQuery()
  await gateway.send('answers', [
    recordItem(
      answer(seq++, id, [
        [1, 'init'],
        [22, '\u001b[31m'],
      ]),
      press1,
    ),
  ])
  const { code, stdout, stderr } = await running
  expect(stdout).toBe(
    [
      '+-----------------+-----+----------+',
      '| host            | pid | name     |',
      '+-----------------+-----+----------+',
      '| press-1.plant-a | 1   | init     |',
      '| press-1.plant-a | 22  | \\x1B[31m |',
      '+-----------------+-----+----------+',
      '',
    ].join('\n'),
  )
  expect([code, stderr]).toEqual([0, '1 of 1 answered\n'])
})

test('query says who did not answer and why, and ends with 1', async () => {
  const running = tidegate('query', '--target', 'site=plant-a', '--json', 'SELECT 1 AS pid, 2 AS name')
  const id = await nextQuery()
  await gateway.send('answers', [
    recordItem(answer(seq++, id, [[1, 'init']]), press1),
    queryItem(id, 'expired', 'press-2', 'the device was never here'),
  ])
  const { code, stdout, stderr } = await running
  expect(JSON.parse(stdout)).toMatchObject({
    host: 'press-1.plant-a',
    status: 'ok',
    rows: [{ pid: '1', name: 'init' }],
  })
  expect(stderr).toBe('1 of 2 answered; missing:\n  press-2 (site plant-a: expired: the device was never here)\n')
  expect(code).toBe(1)
})

test('Ctrl-C leaves the query running and tells how to come back to it', async () => {
  const child = spawn(
    process.execPath,
    [fileURLToPath(programFile('tidegate.js')), 'query', '--target', 'host=press-1', '--valid-for', '7d', 'SELECT 1'],
    { env: { ...process.env, ...deployment.environment }, stdio: ['ignore', 'pipe', 'pipe'] },
  )
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  const exit = new Promise((resolve) => child.once('exit', resolve))
  const id = await nextQuery()
  await gateway.send('answers', [queryItem(id, 'dispatched', 'press-1')])
  child.kill('SIGINT')
  expect(await exit).toBe(130)
  expect(stderr).toContain(`${id} goes on without you`)
  expect(stderr).toContain(`tidegate queries show ${id} --follow`)

  expect((await tidegate('queries', 'list', '--open')).stdout).toContain(id)
  expect((await tidegate('queries', 'show', id)).stdout).toMatch(/\| plant-a \| press-1 \| dispatched /)
  const following = tidegate('queries', 'show', id, '--follow')
  await gateway.send('answers', [recordItem(answer(seq++, id, [[7, 'late']]), press1)])
  const { code, stdout } = await following
  expect([code, stdout]).toEqual([0, expect.stringMatching(/\| press-1\.plant-a \| 7 +\| late \|/)])
  expect((await tidegate('queries', 'results', id, '--csv')).stdout).toBe('host,pid,name\npress-1.plant-a,7,late\n')
})

test('a detached query prints its id, and can be cancelled', async () => {
  const id = (await tidegate('query', '--detach', '--target', 'host=press-1', 'SELECT 1')).stdout.trim()
  expect(id).toMatch(/^q-[0-9a-z]{10}$/)
  expect(await tidegate('queries', 'cancel', id)).toMatchObject({ code: 0, stdout: `${id}: cancelled\n` })
  expect((await tidegate('queries', 'show', id)).stdout).toMatch(/cancelled by alice before the site fetched it/)
  expect(await tidegate('queries', 'cancel', id)).toMatchObject({ code: 1 })
})

test('results exports the latest rows over hosts as a table, JSON and CSV', async () => {
  expect((await tidegate('results', 'procs')).stdout).toMatch(/\| press-1\.plant-a \| .* \| 1 +\| init +\|/)
  const json = JSON.parse((await tidegate('results', 'processes', '--json')).stdout) as object
  expect(json).toMatchObject({ host: 'press-1.plant-a', stale: false, rows: [{ pid: '1' }, { pid: '2' }] })
  const csv = (await tidegate('results', 'procs', '--csv')).stdout.split('\n')
  expect(csv[0]).toBe('host,observed_at,pid,name')
  expect(csv[2]).toMatch(/^press-1\.plant-a,2026-\d\d-\d\dT.*Z,2,"a,""b"""$/)
})

test('each kind of failure has its exit code and says how to mend it', async () => {
  const env = deployment.environment
  const run = async (args: string[], changed: Record<string, string | undefined>) => {
    const { code, stderr } = await runProgram('tidegate.js', args, { ...env, HOME: '/nowhere', ...changed })
    return [code, /\(([A-Z_]+), exit/.exec(stderr)?.[1]]
  }
  expect(await run(['sites'], { TIDEGATE_SERVER: undefined })).toEqual([3, 'NOT_CONFIGURED'])
  expect(await run(['sites'], { TIDEGATE_SERVER: 'https://localhost:1' })).toEqual([4, 'SERVER_UNREACHABLE'])
  expect(await run(['sites'], { TIDEGATE_CA: undefined })).toEqual([6, 'SERVER_CERTIFICATE'])
  expect(await run(['sites'], { TIDEGATE_TOKEN: 'tgt_wrong-wrong-wrong-wrong' })).toEqual([3, 'TOKEN_INVALID'])
  expect(await run(['query', '--target', 'all', 'DROP TABLE x'], {})).toEqual([2, 'SQL_REFUSED'])
  expect(await run(['query', 'SELECT 1'], {})).toEqual([2, undefined])
  expect(await run(['queries', 'show', 'q-none'], {})).toEqual([1, 'QUERY_UNKNOWN'])
})

test('login keeps a token that works, for its owner only', async () => {
  const home = mkdtempSync(join(tmpdir(), 'tidegate-home-'))
  try {
    const { TIDEGATE_SERVER = '', TIDEGATE_CA = '', TIDEGATE_TOKEN } = deployment.environment
    const bare = {
      HOME: home,
      XDG_CONFIG_HOME: undefined,
      TIDEGATE_SERVER: undefined,
      TIDEGATE_CA: undefined,
      TIDEGATE_TOKEN: undefined,
    }
    const login = await runProgram('tidegate.js', ['login', '--server', TIDEGATE_SERVER, '--ca', TIDEGATE_CA], {
      ...bare,
      TIDEGATE_TOKEN,
    })
    expect(login, login.stderr).toMatchObject({ code: 0 })
    const path = join(home, '.config', 'tidegate', 'config.yaml')
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(readFileSync(path, 'utf8')).toContain(TIDEGATE_SERVER)
    expect(await runProgram('tidegate.js', ['sites'], bare)).toMatchObject({ code: 0 })
  } finally {
    rmSync(home, { recursive: true })
  }
})

test('help has examples everywhere', async () => {
  for (const args of [['query'], ['sites'], ['hosts'], ['results'], ['queries', 'show'], ['login']]) {
    expect((await tidegate(...args, '--help')).stdout, args.join(' ')).toMatch(/Examples:/)
  }
})
