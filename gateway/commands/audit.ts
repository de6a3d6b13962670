// tidegate-gateway audit [--verify]: who asked what, who allowed it, what left; and proof that no line was changed.
import type { Command } from 'commander'
import { AppError } from '../../lib/errors.ts'
import { AdminClient } from '../admin/client.ts'
import type { AuditRow, AuditVerdict } from '../audit/audit-log.ts'
import { adminCommand, parseCount, type CommonFlags } from './options.ts'
import { print, printJson, printTable } from './output.ts'

interface AuditFlags extends CommonFlags {
  limit: number
  before?: number
  query?: string
  verify?: true
}

export function auditCommand(): Command {
  return adminCommand('audit', 'The audit log, newest first.')
    .option('--limit <count>', 'how many rows, at most 1000', parseCount, 50)
    .option('--before <id>', 'only rows before this one', parseCount)
    .option('--query <id>', 'only rows about this query')
    .option('--verify', 'instead, check the whole chain of hashes: exit 1 when a row was changed or is missing')
    .addHelpText(
      'after',
      '\nExamples:\n  tidegate-gateway audit --query q-71 --json\n  tidegate-gateway audit --verify\n',
    )
    .action((flags: AuditFlags) => (flags.verify ? verify(flags) : list(flags)))
}

async function list({ config, json, limit, before, query }: AuditFlags): Promise<void> {
  const params = new URLSearchParams({ limit: String(limit) })
  if (before !== undefined) params.set('beforeId', String(before))
  if (query !== undefined) params.set('subject', query)
  const { rows } = await new AdminClient(config).get<{ rows: AuditRow[] }>(`/v1/audit?${params.toString()}`)
  if (json) return printJson(rows)
  const lines = rows.map((row) => ({
    id: row.id,
    time: new Date(row.atMs).toISOString(),
    who: row.actor,
    what: row.action,
    about: row.subject ?? '',
    detail: JSON.stringify(row.detail).slice(0, 120),
  }))
  return printTable(lines, 'the audit log is empty')
}

async function verify({ config, json }: AuditFlags): Promise<void> {
  const verdict = await new AdminClient(config).get<AuditVerdict>('/v1/audit/verify')
  if (json) await printJson(verdict)
  else if (verdict.ok) await print(`${verdict.rows} rows, none changed or missing; head ${verdict.head}\n`)
  if (!verdict.ok) {
    throw new AppError('AUDIT_BROKEN', verdict.problem, {
      hint: 'keep site.db as it is and compare with a backup or with the audit log of the centre',
    })
  }
}
