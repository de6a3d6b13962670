import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { loadSettings, settingsPath } from './settings.ts'

let home: string
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'tidegate-settings-'))
  const path = settingsPath({ HOME: home })
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, 'server: https://file:1\nca: root.pem\ntoken: from-file\n')
  writeFileSync(join(dirname(path), 'root.pem'), 'PEM')
})
afterEach(() => rmSync(home, { recursive: true }))

test('flags win over variables, and variables over the file', () => {
  const env = { HOME: home, TIDEGATE_SERVER: 'https://variable:2' }
  const settings = loadSettings({ token: 'from-flag' }, env)
  expect([settings.server.href, settings.token, settings.ca]).toEqual(['https://variable:2/', 'from-flag', 'PEM'])
  expect(loadSettings({}, { HOME: home }).server.href).toBe('https://file:1/')
})

test('what is missing or wrong is said with the ways to give it', () => {
  const bare = { HOME: join(home, 'nobody') }
  expect(() => loadSettings({}, bare)).toThrow(/address of the coordinator/)
  expect(() => loadSettings({ server: 'https://a:1' }, bare)).toThrow(/a token/)
  expect(() => loadSettings({ server: 'http://a:1', token: 't' }, bare)).toThrow(/not the address/)
  expect(() => loadSettings({ ca: '/nowhere.pem' }, { HOME: home })).toThrow(/ENOENT/)
})
