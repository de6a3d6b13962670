// tidegate-gateway ledger: did we lose anything? Exit 1 when something is missing that nobody has accounted for.
import type { Command } from 'commander'
import type { SeqRange } from '../../protocol/seq-ranges.ts'
import { AdminClient } from '../admin/client.ts'
import type { LedgerEntry } from '../store/ledger.ts'
import { adminCommand, type CommonFlags } from './options.ts'
import { ago, print, printJson, printTable } from './output.ts'

export function ledgerCommand(): Command {
  return adminCommand('ledger', 'What came from each device, what is at the centre, what is lost or missing.')
    .option('--device <id>', 'only this device')
    .addHelpText(
      'after',
      '\nlost: the device said that these records will never come, and why.\nmissing: numbers below the newest one that neither came nor were called lost.\n',
    )
    .action(async ({ config, json, device }: CommonFlags & { device?: string }) => {
      const path = device === undefined ? '/v1/ledger' : `/v1/ledger?device=${encodeURIComponent(device)}`
      const ledger = await new AdminClient(config).get<{ summary: string; epochs: LedgerEntry[] }>(path)
      if (json) await printJson(ledger)
      else {
        const rows = ledger.epochs.map((entry) => ({
          device: entry.device,
          epoch: entry.epoch,
          received: entry.received,
          'at the centre': entry.receipted,
          lost: entry.lostCount === 0 ? 0 : `${entry.lostCount} (${reasons(entry)})`,
          missing: entry.missingCount === 0 ? 0 : `${entry.missingCount} (${ranges(entry.missing)})`,
          'last record': ago(entry.lastReceivedAtMs),
        }))
        await printTable(rows, 'no device has sent a record yet')
        await print(`${ledger.summary}\n`)
      }
      if (ledger.epochs.some((entry) => entry.missingCount > 0)) process.exitCode = 1
    })
}

function reasons({ lost }: LedgerEntry): string {
  return [...new Set(lost.map(({ reason }) => reason))].join(', ')
}

function ranges(list: readonly SeqRange[]): string {
  const shown = list.slice(0, 5).map(([from, to]) => (from === to ? String(from) : `${from}-${to}`))
  return `${shown.join(', ')}${list.length > 5 ? ', …' : ''}`
}
