// The people's listener: who gets in, what a wrong request gets back, and tokens that change while the server runs.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Deployment, runProgram, type Reply } from './harness.ts'

let deployment: Deployment

beforeAll(async () => {
  deployment = await Deployment.create()
  await deployment.start()
})
afterAll(() => deployment.remove())

const codeOf = (reply: Reply) => (reply.body as { error: { code: string } }).error.code
const withToken = (token: string, path = '/api/v1/sites') =>
  deployment.api('GET', path, undefined, { authorization: token })

test('without a valid token nothing is told', async () => {
  const real = deployment.token
  for (const header of ['', 'Bearer', `Basic ${real}`, `Bearer ${real}x`, `Bearer tgt_${'A'.repeat(43)}`]) {
    const reply = await withToken(header)
    expect([reply.status, codeOf(reply), reply.headers['www-authenticate']]).toEqual([401, 'TOKEN_INVALID', 'Bearer'])
  }
  expect((await withToken(`Bearer ${real}`)).status).toBe(200)
})

test('a token made or revoked by the command counts at once in the running server', async () => {
  const made = JSON.parse(await deployment.ok('token', 'create', '--name', 'bob', '--json')) as {
    id: string
    token: string
  }
  expect((await withToken(`Bearer ${made.token}`)).status).toBe(200)
  expect(await deployment.ok('token', 'revoke', made.id)).toBe(`${made.id}: revoked\n`)
  expect((await withToken(`Bearer ${made.token}`)).status).toBe(401)
  expect((await deployment.command('token', 'revoke', made.id)).code).toBe(2)
})

test('a token that has run out is refused', async () => {
  const token = (await deployment.ok('token', 'create', '--name', 'brief', '--expires-in', '1ms')).trim()
  expect((await withToken(`Bearer ${token}`)).status).toBe(401)
  expect(await deployment.ok('token', 'list')).toMatch(/brief +\| expired/)
})

test('two people cannot have valid tokens under one name', async () => {
  const { code, stderr } = await deployment.command('token', 'create', '--name', 'alice')
  expect([code, stderr]).toEqual([2, expect.stringMatching(/TOKEN_NAME_TAKEN/)])
})

test('a secret is in no file of the coordinator and in no line of its log', async () => {
  const data = join(deployment.folder, 'data')
  const files = readdirSync(data).map((name) => readFileSync(join(data, name)).toString('latin1'))
  for (const text of [...files, deployment.log.join('\n')]) expect(text).not.toContain(deployment.token)
})

test('each wrong request is refused by name, with the id of the request', async () => {
  const cases: [string, string, unknown, number, string][] = [
    ['GET', '/api/v1/nothing', undefined, 404, 'NOT_FOUND'],
    ['GET', '/api/v1/hosts/press-1', undefined, 422, 'INPUT_INVALID'],
    ['GET', '/api/v1/hosts/press-1.plant-a', undefined, 404, 'HOST_UNKNOWN'],
    ['GET', '/api/v1/hosts?limit=0', undefined, 422, 'INPUT_INVALID'],
    ['GET', '/api/v1/hosts?cursor=x', undefined, 422, 'CURSOR_INVALID'],
    ['GET', '/api/v1/hosts?rack=4', undefined, 422, 'INPUT_INVALID'],
    ['GET', '/api/v1/queries/q-none', undefined, 404, 'QUERY_UNKNOWN'],
    ['POST', '/api/v1/queries/q-none/cancel', undefined, 404, 'QUERY_UNKNOWN'],
    ['POST', '/api/v1/queries', { sql: 'x'.repeat(300_000), targets: ['all'] }, 413, 'BODY_TOO_LARGE'],
  ]
  for (const [method, path, body, status, code] of cases) {
    const reply = await deployment.api(method, path, body)
    expect([path, reply.status, codeOf(reply)]).toEqual([path, status, code])
    expect((reply.body as { error: { requestId: string } }).error.requestId).toMatch(/^r-[0-9a-f]{12}$/)
  }
})

test('answers forbid sniffing, framing, caching and active content', async () => {
  const { headers } = await deployment.api('GET', '/api/v1/sites')
  expect(headers).toMatchObject({
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    'cache-control': 'no-store',
    'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
    'strict-transport-security': expect.stringMatching(/max-age/) as string,
  })
})

test('the documentation is served with its own files only', async () => {
  const page = await deployment.api('GET', '/api/docs/')
  expect([page.status, page.headers['content-type']]).toEqual([200, 'text/html; charset=utf-8'])
  expect(page.headers['content-security-policy']).toMatch(/default-src 'self'/)
  const json = await deployment.api('GET', '/api/docs/json')
  expect(json.body).toMatchObject({ openapi: '3.1.0' })
})

test('an address that guesses tokens must wait', async () => {
  const statuses: number[] = []
  for (let n = 0; n < 40; n++) statuses.push((await withToken(`Bearer tgt_${String(n).padStart(43, '0')}`)).status)
  expect(statuses.at(-1)).toBe(429)
  expect((await withToken(`Bearer ${deployment.token}`)).status).toBe(200)
})

test('check-config names every problem of a configuration at once', async () => {
  expect(await deployment.ok('check-config')).toMatch(/good/)
  const path = join(deployment.folder, 'broken.yaml')
  writeFileSync(path, 'dataDir: data\nsites: {listen: nowhere}\nretention: 1h\nsurprise: true\n')
  const { code, stderr } = await runProgram('tidegate-coordinator.js', ['check-config', '--config', path])
  expect(code).toBe(3)
  for (const key of [/sites\.listen/, /sites\.cert/, /api/, /retention/, /surprise/]) expect(stderr).toMatch(key)
})

test('a port that is taken ends the coordinator with the address, exit 3', async () => {
  const config = readFileSync(deployment.configPath, 'utf8').replaceAll(
    '127.0.0.1:0',
    `127.0.0.1:${deployment.apiPort}`,
  )
  const path = join(deployment.folder, 'second.yaml')
  writeFileSync(path, config.replace('dataDir: data', 'dataDir: second').replace('results/results.log', 'second.log'))
  const { code, stderr } = await runProgram('tidegate-coordinator.js', ['run', '--config', path])
  expect([code, stderr]).toEqual([3, expect.stringMatching(/sites\.listen, 127\.0\.0\.1:\d+: EADDRINUSE/)])
})
