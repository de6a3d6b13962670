// bench/agent: what the agent costs a device: bundle size, idle memory, CPU and bytes written with a schedule.
//   npx tsx bench/agent/main.ts [--seconds 60]
// The peer's figures are published ones, named with their source: osquery has no build for this bench to run everywhere.
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { site, Stack, type Schedule } from '../../cli/demo/stack.ts'
import { until } from '../../cli/demo/processes.ts'
import { programFile } from '../../lib/program-file.ts'
import type { LedgerPage } from '../../protocol/api.ts'
import { machine, printTable, saveResult } from '../report.ts'

/** The shipped default pack's tables at 60 times its pace, so that a minute shows an hour. */
const schedule: Schedule = {
  os_version: { query: 'SELECT * FROM os_version', interval: 60, snapshot: true },
  uptime: { query: 'SELECT * FROM uptime', interval: 10, snapshot: true },
  memory_info: { query: 'SELECT * FROM memory_info', interval: 10, snapshot: true },
  listening_ports: { query: 'SELECT port, protocol, address FROM listening_ports WHERE port > 0', interval: 10 },
  processes: { query: 'SELECT pid, name, path, cmdline, uid, parent FROM processes', interval: 10 },
  users: { query: 'SELECT * FROM users', interval: 60 },
  mounts: { query: 'SELECT device, path, type, flags FROM mounts', interval: 60 },
  deb_packages: { query: 'SELECT name, version, arch FROM deb_packages', interval: 60 },
}

const seconds = Number(process.argv[process.argv.indexOf('--seconds') + 1]) || 60
const folder = mkdtempSync(join(tmpdir(), 'tg-bench-agent-'))
const stack = await Stack.create({ folder, devices: ['idle', 'busy'], schedule, agentOf: { idle: { schedule: {} } } })
try {
  await stack.startCoordinator()
  await stack.startGateway()
  await stack.startAgent('idle')
  await stack.startAgent('busy')
  await until('records of the busy agent', async () => {
    const { epochs } = await stack.api<LedgerPage>(`/api/v1/ledger?site=${site}&device=busy`)
    return epochs.some((epoch) => epoch.atCentre > 0) ? true : undefined
  })
  await setTimeout(5000)
  const before = usage(stack.program('busy').pid)
  await setTimeout(seconds * 1000)
  const after = usage(stack.program('busy').pid)
  const idle = usage(stack.program('idle').pid)
  const status = await stack.agentStatus('busy')

  const bundleBytes = ['tidegate-agent.js', 'tidegate-agent-engine.js', 'sqlite3.wasm']
    .map((name) => statSync(programFile(name)).size)
    .reduce((sum, size) => sum + size, 0)
  const result = {
    what: 'bench/agent',
    machine: machine(),
    seconds,
    bundleBytes,
    idleRssBytes: idle.rssBytes,
    peakRssBytes: after.peakRssBytes,
    cpuPercentOfOneCore: ((after.cpuMs - before.cpuMs) / (seconds * 1000)) * 100,
    writtenBytesPerSecond: (after.writtenBytes - before.writtenBytes) / seconds,
    records: status.outbox.nextSeq - 1,
    peer: {
      name: 'osquery',
      installedBytes: 83 * 1_000_000,
      source:
        'published: 83 MB stripped, 258 to 262 MB unstripped (elastic/beats#38890, elastic/elastic-agent#12338); no 32-bit ARM build',
    },
  }
  printTable([
    [
      'bundle',
      `${mib(bundleBytes)} (osquery, stripped, as published: 83 MB: ${(result.peer.installedBytes / bundleBytes).toFixed(0)} times)`,
    ],
    ['RSS, connected, no schedule', mib(idle.rssBytes)],
    ['RSS, peak with the schedule', mib(after.peakRssBytes)],
    ['CPU with the schedule', `${result.cpuPercentOfOneCore.toFixed(2)} % of one core`],
    [
      'written to disk',
      `${(result.writtenBytesPerSecond / 1024).toFixed(2)} KiB/s (at some 30 times an ordinary pace)`,
    ],
    ['records', String(result.records)],
  ])
  saveResult('agent', result)
} finally {
  await stack.stop()
  rmSync(folder, { recursive: true, force: true })
}

function usage(pid: number | undefined) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const kib = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0) * 1024
  const io = readFileSync(`/proc/${pid}/io`, 'utf8')
  return {
    // utime and stime in clock ticks of 10 ms (proc(5), USER_HZ is 100 on Linux).
    cpuMs: (Number(fields[11]) + Number(fields[12])) * 10,
    rssBytes: kib('VmRSS'),
    peakRssBytes: kib('VmHWM'),
    writtenBytes: Number(/^write_bytes: (\d+)/m.exec(io)?.[1] ?? 0),
  }
}

function mib(bytes: number): string {
  return `${(bytes / 1_048_576).toFixed(1)} MiB`
}
