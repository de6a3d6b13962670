import { chmodSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { revoke } from '../../certs/authority.ts'
import { CentrePeer } from './centre-peer.ts'
import { Plant, site, snapshot } from './plant.ts'

let plant: Plant
let centre: CentrePeer

beforeEach(async () => {
  plant = await Plant.create(['press-1'])
  centre = await CentrePeer.start(plant.pki, site)
  plant.configure(centre.url)
})

afterEach(async () => {
  await plant.remove()
  await centre.stop()
})

test('SIGTERM ends the gateway in order, and what was acknowledged is there at the next start', async () => {
  await centre.cutLink()
  const gateway = await plant.run()
  const device = await plant.device('press-1')
  await device.publish(snapshot('uptime', '1'))
  expect(await gateway.end('SIGTERM')).toBe(0)
  await plant.run()
  await centre.restoreLink()
  await centre.until(() => centre.recordCounts().size === 1)
})

test('a second gateway on the same data is refused, and after a kill the next one starts', async () => {
  const first = await plant.run()
  const second = plant.start()
  await expect(second.line(() => false)).rejects.toThrow(/ALREADY_RUNNING, exit 5/)
  expect(second.child.exitCode).toBe(5)
  await first.end('SIGKILL')
  await plant.run()
})

test('a port in use, a bad key and a missing file each name themselves and the exit code', async () => {
  await plant.run()
  const good = readFileSync(plant.config, 'utf8')
  const tryRun = async (from: string, to: string) => {
    writeFileSync(plant.config, good.replace('dataDir: data', 'dataDir: other').replace(from, to))
    const { code, stderr } = await plant.cli('run')
    return `${code} ${stderr}`
  }
  expect(await tryRun('', '')).toMatch(/^4 [\s\S]*LISTEN_FAILED/)
  expect(await tryRun(`:${plant.devicePort}`, ':0')).toMatch(/^4 [\s\S]*admin\.listen: cannot listen/)
  expect(await tryRun('signing.key', 'gateway/key.pem')).toMatch(/^6 [\s\S]*KEY_UNUSABLE/)
  expect(await tryRun('command-signing.pub', 'nowhere.pub')).toMatch(/^3 [\s\S]*centre\.trust\.0: cannot read/)
  expect(await tryRun('log:', 'logs: 1\nlog:')).toMatch(/^3 [\s\S]*CONFIG_INVALID/)
})

test('check-config starts nothing and says whether all is well', async () => {
  expect(await plant.cli('check-config')).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('ok, site plant-a') as string,
  })
  rmSync(join(plant.pki, 'sites', site, 'crl.pem'))
  const broken = await plant.cli('check-config')
  expect(broken.code).toBe(3)
  expect(broken.stderr).toContain('devices.crl')
})

test('the local API wants its token, keeps it private, and tells health and metrics without', async () => {
  await plant.run()
  const at = (path: string) => `http://127.0.0.1:${plant.adminPort}${path}`
  expect(statSync(join(plant.dataDir, 'admin.token')).mode & 0o777).toBe(0o600)
  for (const authorization of ['', 'Bearer wrong', 'Basic x']) {
    const response = await fetch(at('/v1/status'), { headers: { authorization } })
    expect(response.status).toBe(401)
    expect(await response.json()).toMatchObject({ error: { code: 'TOKEN_INVALID' } })
  }
  const health = await fetch(at('/healthz'))
  expect([health.status, await health.json()]).toEqual([200, { ok: true, problems: [] }])
  const metrics = await (await fetch(at('/metrics'))).text()
  expect(metrics).toMatch(/^tidegate_devices_connected 0$/m)
  expect(metrics).toMatch(/^tidegate_uplink_up [01]$/m)
  expect(metrics).not.toContain('press-1')
  const large = await fetch(at('/v1/query'), { method: 'POST', body: 'x'.repeat(300_000) })
  expect(large.status).toBe(401)
})

test('commands print boxes for people, and tell a gateway that does not run', async () => {
  const gateway = await plant.run()
  const device = await plant.device('press-1')
  await device.publish({ ...snapshot('uptime', '7', '8'), table: 'uptime' })
  await centre.until(() => centre.recordCounts().size === 1)
  const query = await plant.cli('query', 'SELECT device, v FROM uptime ORDER BY v')
  expect(query.stdout).toBe(
    '+---------+---+\n| device  | v |\n+---------+---+\n| press-1 | 7 |\n| press-1 | 8 |\n+---------+---+\n',
  )
  expect((await plant.cli('query', '--csv', 'SELECT v FROM uptime')).stdout).toBe('v\n7\n8\n')
  expect((await plant.cli('query', '--line', 'SELECT v FROM uptime LIMIT 1')).stdout).toBe('v = 7\n')
  expect((await plant.cli('devices')).stdout).toContain('here')
  expect((await plant.cli('ledger')).stdout).toMatch(/received 1, at the centre 1, lost 0, missing 0\n$/)
  expect((await plant.cli('status')).stdout).toMatch(/link +up for/)
  expect((await plant.cli('audit', '--verify')).stdout).toMatch(/rows, none changed or missing/)
  const wrong = await plant.cli('query', 'SELECT * FROM nosuch')
  expect(wrong.code).toBe(1)
  expect(wrong.stderr).toContain('no such table: nosuch')
  expect((await plant.cli('query')).code).toBe(2)
  await gateway.end('SIGTERM')
  const unreachable = await plant.cli('status')
  expect(unreachable.code).toBe(4)
  expect(unreachable.stderr).toContain('GATEWAY_NOT_RUNNING')
})

test('a gap in the numbers of a device shows in the ledger until it is filled', async () => {
  await plant.run()
  const device = await plant.device('press-1')
  await device.publish(snapshot('a', '1'))
  device.skip(2)
  await device.publish(snapshot('a', '4'))
  const missing = await plant.cli('ledger')
  expect(missing.code).toBe(1)
  expect(missing.stdout).toMatch(/missing 2\n$/)
  await device.publish({ kind: 'gap', from: 2, to: 3, reason: 'outbox-full' })
  const lost = await plant.cli('ledger')
  expect(lost.code).toBe(0)
  expect(lost.stdout).toMatch(/lost 2, missing 0\n$/)
})

test('a device that is revoked is cut off as soon as the new list is there, and an older list is not taken', async () => {
  const gateway = await plant.run()
  const crl = join(plant.pki, 'sites', site, 'crl.pem')
  const older = readFileSync(crl)
  await plant.device('press-1')
  await revoke({ pki: plant.pki, site, subject: { role: 'device', id: 'press-1' } })
  await gateway.line(({ reason, device }) => reason === 'revoked' && device === 'press-1')
  await expect(plant.device('press-1')).rejects.toThrow()
  writeFileSync(crl, older)
  gateway.child.kill('SIGHUP')
  await gateway.line(({ err }) => (err as { code?: string } | undefined)?.code === 'CRL_OLDER')
  await expect(plant.device('press-1')).rejects.toThrow()
})

test('the audit log that someone changed does not verify', async () => {
  const gateway = await plant.run()
  await gateway.end('SIGTERM')
  const database = new Database(join(plant.dataDir, 'site.db'))
  database.exec("UPDATE audit SET detail = '{}' WHERE id = 1")
  database.close()
  await plant.run()
  const { code, stderr } = await plant.cli('audit', '--verify')
  expect(code).toBe(1)
  expect(stderr).toContain('AUDIT_BROKEN')
})

test('a store that cannot be written is a problem of health, and the gateway does not end', async () => {
  const gateway = await plant.run()
  const token = join(plant.dataDir, 'admin.token')
  chmodSync(token, 0o600)
  const blocker = new Database(join(plant.dataDir, 'site.db'))
  blocker.exec('BEGIN IMMEDIATE')
  await plant.device('press-1')
  await gateway.line(({ msg }) => String(msg).startsWith('the store does not take the state of commands'))
  const sick = await fetch(`http://127.0.0.1:${plant.adminPort}/healthz`)
  expect(sick.status).toBe(503)
  blocker.exec('ROLLBACK')
  blocker.close()
  expect(gateway.child.exitCode).toBeNull()
})
