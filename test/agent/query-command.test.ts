// The program as a person or a script meets it: `tidegate-agent query` on this machine, compared with coreutils.
import { execFileSync, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { queryCommand } from '../../agent-lite/commands/query.ts'

const program = fileURLToPath(new URL('../../dist/tidegate-agent.js', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'query-'))
afterAll(() => rmSync(folder, { recursive: true }))

function agent(args: string[], input = '') {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], { input, encoding: 'utf8' })
  return { status, stdout, stderr }
}
const json = (sql: string): unknown => JSON.parse(agent(['query', '--json', sql]).stdout)

test('a join of processes and their sockets finds the listener that this test opened', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const rows = json(
    `SELECT p.pid, s.local_port FROM processes p JOIN process_open_sockets s USING (pid) WHERE s.local_port = ${port}`,
  )
  server.close()
  expect(rows).toEqual([{ pid: String(process.pid), local_port: String(port) }])
})

test('file and hash agree with coreutils', () => {
  for (const name of ['host-a', 'host-b', 'other']) writeFileSync(join(folder, name), name)
  const listed = execFileSync('sh', ['-c', `ls -d ${folder}/host*`], { encoding: 'utf8' })
  const rows = json(`SELECT path FROM file WHERE path LIKE '${folder}/host%' ORDER BY path`) as { path: string }[]
  expect(rows.map(({ path }) => `${path}\n`).join('')).toBe(listed)
  const sum = execFileSync('sha256sum', [join(folder, 'host-a')], { encoding: 'utf8' }).split(' ')[0]
  expect(json(`SELECT sha256 FROM hash WHERE path = '${folder}/host-a'`)).toEqual([{ sha256: sum }])
})

test('a table that needs a path fails without one, as osquery does, with exit code 1 and nothing on stdout', () => {
  const { status, stdout, stderr } = agent(['query', 'SELECT * FROM file'])
  expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
  expect(stderr).toContain('Table file was queried without a required column in the WHERE clause')
})

test('SQL that is wrong or not a SELECT fails with exit code 1', () => {
  for (const sql of ['SELEC 1', 'SELECT 1; SELECT 2', "ATTACH '/etc/passwd' AS p", 'SELECT nope']) {
    expect(agent(['query', sql])).toMatchObject({ status: 1, stdout: '', stderr: expect.stringMatching(/^error: /) })
  }
})

test('a table is the default, CSV, lines and SQL from standard input on request', () => {
  const sql = "SELECT 1 AS a, 'x,y' AS b"
  expect(agent(['query', sql]).stdout).toBe('+---+-----+\n| a | b   |\n+---+-----+\n| 1 | x,y |\n+---+-----+\n')
  expect(agent(['query', '--csv', sql]).stdout).toBe('a,b\n1,"x,y"\n')
  expect(agent(['query', '--csv', '--separator', '|', '--no-header', sql]).stdout).toBe('1|x,y\n')
  expect(agent(['query', '--line', '-'], `${sql};\n`).stdout).toBe('    a = 1\n    b = x,y\n')
})

const endless = 'WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c'

test('a query that runs too long or gives too many rows ends and says so', () => {
  const counted = `SELECT count(*) FROM (${endless})`
  expect(agent(['query', '--timeout', '200ms', counted])).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('QUERY_TIMEOUT'),
  })
  const { status, stdout, stderr } = agent(['query', '--csv', '--max-rows', '2', endless])
  expect({ status, stdout, stderr }).toEqual({
    status: 0,
    stdout: 'x\n1\n2\n',
    stderr: 'warning: only the first 2 rows (--max-rows)\n',
  })
})

test('Ctrl-C cancels the query and leaves no handler behind', async () => {
  const before = process.listeners('SIGINT')
  const running = queryCommand().parseAsync([`SELECT count(*) FROM (${endless})`], { from: 'user' })
  for (const listener of process.listeners('SIGINT')) if (!before.includes(listener)) listener('SIGINT')
  await expect(running).rejects.toMatchObject({ code: 'QUERY_CANCELLED' })
  expect(process.listeners('SIGINT')).toEqual(before)
})

test('a reader that goes away is no error', () => {
  const sh = `"$0" "$1" query --csv --max-rows 50000 "$2" | head -n 1; echo "\${PIPESTATUS[0]}"`
  const { stdout, stderr } = spawnSync('bash', ['-c', sh, process.execPath, program, endless], { encoding: 'utf8' })
  expect(stdout).toBe('x\n0\n')
  expect(stderr).not.toMatch(/EPIPE/)
})

test('tables lists names, schema shows columns, an unknown table is a usage error', () => {
  expect(agent(['tables']).stdout.split('\n')).toEqual(expect.arrayContaining(['processes', 'hash', 'users']))
  expect(agent(['schema', 'uptime']).stdout).toMatch(/^CREATE TABLE uptime\(`days` INTEGER, /)
  expect(JSON.parse(agent(['schema', '--json', 'uptime']).stdout)).toMatchObject({ name: 'uptime', origin: 'osquery' })
  expect(agent(['schema', 'nope'])).toMatchObject({ status: 2, stderr: expect.stringContaining("no table 'nope'") })
})
