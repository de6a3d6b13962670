// Whether the machine's clock can be trusted. adjtimex(2) would tell but needs native code, so this reads what time daemons
// leave behind; where they leave nothing the answer is "unsynced", even if the clock happens to be right.
import type { clockStates } from '../protocol/records.ts'
import { Device } from './sources/device.ts'

export type ClockState = (typeof clockStates)[number]

/** chronyd and ntpd write these hourly, and only while they are synchronised. */
const driftFiles = ['/var/lib/chrony/drift', '/var/lib/ntpsec/ntp.drift', '/var/lib/ntp/ntp.drift']

/** `uptimeMs`: since boot. What was written in an earlier boot says nothing of this one. */
export function readClockState(uptimeMs: number, machine = new Device()): ClockState {
  // systemd-timesyncd(8) makes it at the first synchronisation of a boot.
  if (modifiedAtMs(machine, '/run/systemd/timesync/synchronized') !== undefined) return 'synced'
  const nowMs = machine.nowMs()
  const isFresh = driftFiles.some((path) => {
    const atMs = modifiedAtMs(machine, path)
    return atMs !== undefined && atMs > nowMs - uptimeMs && atMs <= nowMs
  })
  return isFresh ? 'synced' : 'unsynced'
}

function modifiedAtMs(machine: Device, path: string): number | undefined {
  try {
    const stat = machine.stat(path)
    return stat && Number(stat.mtimeMs)
  } catch {
    // The folder is closed to this user.
    return undefined
  }
}
