import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { loadCoordinatorConfig } from './config.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tidegate-config-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

function load(text: string) {
  const path = join(folder, 'coordinator.yaml')
  writeFileSync(path, text)
  return loadCoordinatorConfig(path)
}

const least = `
dataDir: data
sites: {listen: "0.0.0.0:8443", cert: c.pem, key: /etc/k.pem, ca: root.pem}
api: {listen: "[::1]:8444", cert: c.pem, key: k.pem}
signing: {key: s.key, pub: s.pub}
`

test('paths are relative to the file, and what is left out has its default', () => {
  const config = load(least)
  expect(config).toMatchObject({
    dataDir: join(folder, 'data'),
    sites: { listen: { host: '0.0.0.0', port: 8443 }, cert: join(folder, 'c.pem'), key: '/etc/k.pem', revocation: [] },
    api: { listen: { host: '::1', port: 8444 }, requestsPerMinute: 1200 },
    retention: 30 * 86_400_000,
    log: { level: 'info' },
  })
  expect(config.resultLog).toBeUndefined()
  expect(load(`${least}resultLog: {path: out/results.log}\n`).resultLog).toEqual({
    path: join(folder, 'out/results.log'),
  })
})

test('values outside their range are named with the range', () => {
  expect(() => load(`${least}retention: 12h\n`)).toThrow(/retention.*between 1d and 3650d/)
  expect(() => load(least.replace('8443', '84430'))).toThrow(/sites\.listen.*at most 65535/)
})
