import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readClockState } from './clock-state.ts'
import { Device } from './sources/device.ts'

const nowMs = Date.UTC(2026, 10, 24)
const hourMs = 3_600_000

let root: string
beforeEach(() => (root = mkdtempSync(join(tmpdir(), 'agent-clock-'))))
afterEach(() => rmSync(root, { recursive: true }))

function touch(path: string, atMs: number): void {
  mkdirSync(dirname(join(root, path)), { recursive: true })
  writeFileSync(join(root, path), '')
  utimesSync(join(root, path), atMs / 1000, atMs / 1000)
}
const stateAfter = (uptimeMs: number) => readClockState(uptimeMs, new Device(root, () => nowMs))

test('a clock that no time daemon vouches for is unsynced', () => {
  expect(stateAfter(hourMs)).toBe('unsynced')
})

test('systemd-timesyncd says so with a file of this boot', () => {
  touch('/run/systemd/timesync/synchronized', nowMs - hourMs)
  expect(stateAfter(2 * hourMs)).toBe('synced')
})

test('chronyd says so with its drift file, if that was written since the boot and not in the future', () => {
  touch('/var/lib/chrony/drift', nowMs - hourMs)
  expect(stateAfter(2 * hourMs)).toBe('synced')
  expect(stateAfter(hourMs / 2)).toBe('unsynced')
  touch('/var/lib/chrony/drift', nowMs + hourMs)
  expect(stateAfter(2 * hourMs)).toBe('unsynced')
})
