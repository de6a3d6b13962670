// tidegate-agent status: how the running agent, its link and its outbox are. Exit 4 when no agent runs.
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Command } from 'commander'
import { AppError, exitCodes } from '../../lib/errors.ts'
import { printable } from '../../lib/output/printable.ts'
import { formatBytes, formatDuration } from '../../lib/units.ts'
import { loadAgentConfig } from '../config.ts'
import { readStatus } from '../control/socket.ts'
import type { AgentStatus } from '../control/status.ts'
import { print } from '../output/print.ts'
import { defaultConfigPath } from './run.ts'

export function statusCommand(): Command {
  return new Command('status')
    .description('How the agent, its link to the gateway and its outbox are. Exit 4 when it is not running.')
    .option('-c, --config <file>', 'the configuration', defaultConfigPath)
    .option('--json', 'all of it, for scripts')
    .addHelpText('after', '\nExample:\n  tidegate-agent status --json | jq .outbox.recordCount\n')
    .action(async ({ config, json }: { config: string; json?: true }) => {
      const { dataDir } = loadAgentConfig(config)
      const status = (await readStatus(dataDir)) as AgentStatus | { starting: true } | undefined
      if (status === undefined) return reportStopped(dataDir, json)
      if ('starting' in status) {
        throw new AppError('AGENT_STARTING', 'the agent is just starting', {
          exit: 'peer',
          hint: 'ask again in a moment',
        })
      }
      await print(json ? `${JSON.stringify(status, null, 2)}\n` : lines(describe(status, Date.now())))
    })
}

async function reportStopped(dataDir: string, json?: true): Promise<void> {
  const outbox = await outboxOnDisk(dataDir)
  if (json) {
    await print(`${JSON.stringify({ running: false, outbox }, null, 2)}\n`)
    process.exitCode = exitCodes.peer
    return
  }
  const waiting = outbox.files === 0 ? 'it has no outbox yet' : `its outbox files take ${formatBytes(outbox.byteCount)}`
  throw new AppError('AGENT_NOT_RUNNING', `no agent runs with the data directory ${dataDir}; ${waiting}`, {
    exit: 'peer',
    hint: 'systemctl start tidegate-agent, or tidegate-agent run --config FILE',
  })
}

/** Without opening it: only an agent may do that. */
async function outboxOnDisk(dataDir: string): Promise<{ files: number; byteCount: number }> {
  const folder = join(dataDir, 'outbox')
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith('.log'))
  const sizes = await Promise.all(names.map(async (name) => (await stat(join(folder, name))).size))
  return { files: names.length, byteCount: sizes.reduce((sum, size) => sum + size, 0) }
}

/** `label   value` lines for people. */
export function describe(status: AgentStatus, nowMs: number): [string, string][] {
  const { outbox, commands, schedule, denyList } = status
  const since = (ms: number) => formatDuration(Math.max(0, nowMs - ms))
  const next = schedule.filter(({ nextAtMs }) => Number.isFinite(nextAtMs)).sort((a, b) => a.nextAtMs - b.nextAtMs)[0]
  return [
    ['device', `${status.device} of site ${status.site}`],
    ['agent', `version ${status.version}, pid ${status.pid}, up ${since(status.startedMs)}`],
    ['gateway', describeLink(status, since)],
    ...describeClock(status),
    [
      'outbox',
      `${count(outbox.recordCount, 'record waits', 'records wait')}, ${formatBytes(outbox.byteCount)} of ${formatBytes(outbox.maxBytes)} used` +
        (status.lastAckMs === undefined ? '' : `, last acknowledged ${since(status.lastAckMs)} ago`) +
        (outbox.lostCount === 0 ? '' : `, ${outbox.lostCount} LOST since the start (named in gaps)`),
    ],
    [
      'schedule',
      schedule.length === 0
        ? 'empty'
        : count(schedule.length, 'query', 'queries') +
          (next === undefined ? '' : `, next ${next.name} in ${formatDuration(Math.max(0, next.nextAtMs - nowMs))}`),
    ],
    [
      'commands',
      `${commands.answered} answered since the start, ${commands.waiting} waiting` +
        (commands.running === undefined ? '' : `, ${commands.running} running`),
    ],
    ...schedule.flatMap(({ name, problem }): [string, string][] =>
      problem === undefined ? [] : [['problem', `query ${name} ${problem}`]],
    ),
    ...denyList.map(({ sqlSha256, reason, untilMs }): [string, string] => [
      'denied',
      `${sqlSha256.slice(0, 12)}… for another ${formatDuration(untilMs - nowMs)}: ${reason}`,
    ]),
  ]
}

function count(number: number, one: string, many: string): string {
  return `${number} ${number === 1 ? one : many}`
}

function describeLink(
  { connected, gateway, sinceMs, lastProblem }: AgentStatus,
  since: (ms: number) => string,
): string {
  if (connected) return `connected to ${gateway} for ${since(sinceMs)}`
  if (lastProblem === undefined) return `connecting to ${gateway}`
  const { message, hint } = lastProblem
  return `not connected for ${since(sinceMs)}: ${message}${hint === undefined ? '' : `; try: ${hint}`}`
}

function describeClock({ clockAheadMs }: AgentStatus): [string, string][] {
  if (clockAheadMs === undefined || Math.abs(clockAheadMs) < 60_000) return []
  const direction = clockAheadMs > 0 ? 'ahead of' : 'behind'
  return [['clock', `${formatDuration(Math.abs(clockAheadMs))} ${direction} the gateway's`]]
}

function lines(facts: readonly (readonly [label: string, value: string])[]): string {
  return facts.map(([label, value]) => `${label.padEnd(8)}  ${printable(value)}\n`).join('')
}
