// tidegate-gateway status: devices, journal and link in one screen. Exit 1 when the gateway is not healthy.
import type { Command } from 'commander'
import { formatBytes, formatDuration } from '../../lib/units.ts'
import { AdminClient } from '../admin/client.ts'
import type { GatewayStatus } from '../admin/status.ts'
import { adminCommand, type CommonFlags } from './options.ts'
import { ago, printFacts, printJson } from './output.ts'

export function statusCommand(): Command {
  return adminCommand('status', 'How the gateway, its devices and the link to the centre are.')
    .addHelpText('after', '\nExample:\n  tidegate-gateway status --json | jq .uplink.backlog\n')
    .action(async ({ config, json }: CommonFlags) => {
      const status = await new AdminClient(config).get<GatewayStatus>('/v1/status')
      if (json) await printJson(status)
      else await printFacts(describe(status))
      if (status.problems.length > 0) process.exitCode = 1
    })
}

function describe(status: GatewayStatus): [string, string][] {
  const { devices, journal, uplink, queries } = status
  const { backlog } = uplink
  return [
    ['site', `${status.site}, up ${formatDuration(Date.now() - status.startedMs)}, version ${status.version}`],
    ['health', status.problems.length === 0 ? 'ok' : status.problems.join('; ')],
    ...status.warnings.map((warning): [string, string] => ['warning', warning]),
    ['devices', `${devices.connected} connected of ${devices.known} known`],
    ['journal', `${journal.lastId} records so far, ${formatBytes(journal.fileBytes)} on disk`],
    ['link', describeLink(status)],
    ...uplink.alarms.flatMap(({ code, message, hint }): [string, string][] => [
      ['ALARM', `${code}: ${message}`],
      ['try', hint],
    ]),
    ['waiting', describeBacklog(backlog)],
    ['queries', `${queries.open} open, ${queries.awaitingConsent} waiting for consent`],
    ['ledger', status.ledger],
  ]
}

function describeLink({ uplink }: GatewayStatus): string {
  const contact = uplink.lastContactMs === undefined ? 'never reached' : `last answer ${ago(uplink.lastContactMs)}`
  const state =
    uplink.isUp === undefined
      ? `trying ${uplink.url}`
      : uplink.isUp
        ? `up for ${formatDuration(Date.now() - uplink.sinceMs)} (${uplink.url})`
        : `down for ${formatDuration(Date.now() - uplink.sinceMs)}: ${uplink.lastError ?? 'unknown'} (${contact})`
  return state
}

function describeBacklog(backlog: GatewayStatus['uplink']['backlog']): string {
  const { answers, events, history, historyBytes, oldestMs, segments, segmentBytes } = backlog
  if (answers + events + history + segments === 0) return 'nothing'
  return [
    `${history} records (about ${formatBytes(historyBytes)})`,
    `${answers} answers`,
    `${events} events`,
    `${segments} formed segments (${formatBytes(segmentBytes)})`,
    ...(oldestMs === undefined ? [] : [`oldest from ${ago(oldestMs)}`]),
  ].join(', ')
}
