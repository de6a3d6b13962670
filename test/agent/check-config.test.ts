// `tidegate-agent check-config` as an image builder or a pipeline meets it.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { createRoot, createSite, issueDevice } from '../../certs/authority.ts'
import { layoutOf } from '../../certs/layout.ts'

const program = fileURLToPath(new URL('../../dist/tidegate-agent.js', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'check-config-'))
const config = join(folder, 'agent.yaml')
const pki = layoutOf(join(folder, 'pki'))

beforeAll(async () => {
  await createRoot({ pki: pki.pki, deployment: 'Test' })
  await createSite({ pki: pki.pki, site: 'plant-a' })
  for (const device of ['press-1', 'press-2']) await issueDevice({ pki: pki.pki, site: 'plant-a', device })
})
afterAll(() => rmSync(folder, { recursive: true }))

function check(more: object, ...flags: string[]) {
  const device = pki.device('plant-a', 'press-1')
  writeFileSync(
    config,
    stringify({
      site: 'plant-a',
      gateway: 'localhost:8883',
      dataDir: 'data',
      tls: { ca: join(pki.root, 'ca.pem'), cert: join(device, 'cert.pem'), key: join(device, 'key.pem') },
      trust: { centre: [join(pki.centre, 'command-signing.pub')], plant: [join(pki.site('plant-a'), 'signing.pub')] },
      ...more,
    }),
  )
  return spawnSync(process.execPath, [program, 'check-config', '--config', config, ...flags], { encoding: 'utf8' })
}

test('a configuration with the default pack is ok', () => {
  expect(check({})).toMatchObject({ status: 0, stdout: `${config}: ok\n`, stderr: '' })
})

test('every file, key and statement that cannot be used is named at once, with exit code 3', () => {
  const certificate = join(pki.device('plant-a', 'press-1'), 'cert.pem')
  const otherKey = join(pki.device('plant-a', 'press-2'), 'key.pem')
  const { status, stdout } = check(
    {
      tls: { ca: 'gone.pem', cert: certificate, key: otherKey },
      trust: { centre: [certificate] },
      schedule: { hosts: { query: 'SELECT * FROM etc_hosts' }, wrong: { query: 'SELECT nope FROM users' } },
      packs: {
        docker: { discovery: ['SELECT 1 FROM nowhere'], queries: { all: { query: 'SELECT * FROM file' } } },
        windows: { platform: 'windows', queries: { patches: { query: 'SELECT * FROM patches' } } },
      },
    },
    '--json',
  )
  expect(status).toBe(3)
  expect(JSON.parse(stdout)).toEqual({
    config,
    problems: [
      `tls.ca: cannot read ${join(folder, 'gone.pem')} (ENOENT) (try: correct the path, or make the file with tidegate certs)`,
      `tls.key: ${otherKey} is not the key of the certificate ${certificate}`,
      `trust.centre.0: ${certificate} is not an Ed25519 public key in PEM`,
      'query wrong: no such column: nope',
      'query pack_docker_all: table file needs a condition on one of its required columns',
      'discovery for pack_docker_all: no such table: nowhere',
    ],
    warnings: ['pack windows does not run here: platform windows: this is Linux'],
  })
})

test('problems of the file itself come line by line', () => {
  const { status, stdout } = check({ gateway: 'localhost', schedule: { a: { query: 'SELECT 1', interval: 0 } } })
  expect(status).toBe(3)
  expect(stdout.split('\n')).toEqual([
    'problem: gateway (is "localhost"): must be host:port, for example gateway.plant:8883',
    'problem: schedule.a.interval (is 0): must be a whole number from 1 to 604800',
    `${config}: 2 problems`,
    '',
  ])
})
