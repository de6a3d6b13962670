// tidegate-gateway queries [id], allow and veto: what was asked of this site's devices, and the plant's word on it.
import type { Command } from 'commander'
import { AdminClient } from '../admin/client.ts'
import type { QueryDetail, QuerySummary } from '../dispatch/read.ts'
import { adminCommand, currentUser, parseCount, type CommonFlags } from './options.ts'
import { ago, print, printFacts, printJson, printTable } from './output.ts'

export function queriesCommand(): Command {
  return adminCommand('queries', 'What was asked of this site and how far it is; with an id, device by device.')
    .argument('[id]', 'one query')
    .option('--limit <count>', 'how many of the newest', parseCount, 50)
    .action(async (id: string | undefined, { config, json, limit }: CommonFlags & { limit: number }) => {
      const client = new AdminClient(config)
      if (id !== undefined) {
        const query = await client.get<QueryDetail>(`/v1/queries/${encodeURIComponent(id)}`)
        return json ? printJson(query) : describe(query)
      }
      const { queries } = await client.get<{ queries: QuerySummary[] }>(`/v1/queries?limit=${limit}`)
      if (json) return printJson(queries)
      const rows = queries.map((query) => ({
        id: query.id,
        asked: query.authority === 'centre' ? (query.by ?? 'centre') : `${query.by ?? 'plant'} (plant)`,
        what: query.sql ?? query.kind,
        consent: query.consent,
        received: ago(query.receivedMs),
        valid: query.isClosed ? 'closed' : ago(query.notAfterMs),
        devices: states(query),
      }))
      return printTable(rows, 'nothing was asked yet')
    })
}

export function decisionCommand(action: 'allow' | 'veto'): Command {
  const about =
    action === 'allow'
      ? 'Let a query that waits for consent go to the devices.'
      : 'Refuse a query; devices that have it already are told to stop.'
  return adminCommand(action, about)
    .argument('<id>', 'the query')
    .option('--reason <text>', 'for the centre and the audit log')
    .addHelpText('after', `\nExample:\n  tidegate-gateway ${action} q-71 --reason "line 2 is in maintenance"\n`)
    .action(async (id: string, { config, json, reason }: CommonFlags & { reason?: string }) => {
      const body = { by: currentUser(), ...(reason === undefined ? {} : { reason }) }
      const reply = await new AdminClient(config).post(`/v1/queries/${encodeURIComponent(id)}/${action}`, body)
      return json ? printJson(reply) : print(`${id}: ${action === 'allow' ? 'allowed' : 'vetoed'}\n`)
    })
}

async function describe(query: QueryDetail): Promise<void> {
  const facts: [string, string][] = [
    ['id', query.id],
    ['asked by', `${query.by ?? '(not said)'}, ${query.authority}`],
    ['why', query.why ?? '(not said)'],
    ['what', query.sql ?? query.kind],
    ['received', ago(query.receivedMs)],
    ['valid until', ago(query.notAfterMs)],
    ['consent', [query.consent, query.consentBy, query.consentReason].filter((part) => part !== null).join(', ')],
  ]
  await printFacts(facts)
  const rows = query.deliveries.map((delivery) => ({
    device: delivery.device,
    state: delivery.state,
    reason: delivery.reason ?? '',
    sent: delivery.dispatchedMs === null ? '' : ago(delivery.dispatchedMs),
    ended: delivery.finalMs === null ? '' : ago(delivery.finalMs),
    rows: delivery.rows,
  }))
  await printTable(rows, 'no device')
}

function states({ devices }: QuerySummary): string {
  return Object.entries(devices)
    .map(([state, count]) => `${count} ${state}`)
    .join(', ')
}
