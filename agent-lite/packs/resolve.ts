// From packs and schedule, as written, to the list of queries this machine runs: osquery's names and defaults.
import { QueryName } from '../../protocol/ids.ts'
import type { ScheduledQuery } from '../schedule/scheduled-query.ts'
import { whyNot } from './applies.ts'
import type { Pack, QueryDefinition } from './pack-schema.ts'

export interface NamedPack {
  /** Undefined for `schedule`, whose names stay bare. */
  name: string | undefined
  pack: Pack
}

export interface ResolveOptions {
  hostname: string
  packDelimiter: string
  defaultIntervalS: number
  defaultSplayPercent: number
}

export interface Resolved {
  queries: ScheduledQuery[]
  /** Packs and queries that are meant for other machines. */
  skipped: { name: string; why: string }[]
  problems: string[]
}

export function resolveSchedule(packs: readonly NamedPack[], options: ResolveOptions): Resolved {
  const resolved: Resolved = { queries: [], skipped: [], problems: [] }
  const names = new Set<string>()
  for (const { name: packName, pack } of packs) {
    const packReason = whyNot(pack, options.hostname)
    if (packReason !== undefined) {
      resolved.skipped.push({ name: packName === undefined ? 'schedule' : `pack ${packName}`, why: packReason })
      continue
    }
    for (const [queryName, definition] of Object.entries(pack.queries)) {
      const name = packName === undefined ? queryName : ['pack', packName, queryName].join(options.packDelimiter)
      const why = whyNot(definition, options.hostname)
      if (why !== undefined) {
        resolved.skipped.push({ name, why })
        continue
      }
      const nameProblem = names.has(name) ? 'is there twice' : QueryName.safeParse(name).error?.issues[0]?.message
      if (nameProblem !== undefined) resolved.problems.push(`query '${name}': the name ${nameProblem}`)
      names.add(name)
      resolved.queries.push({ name, ...scheduled(definition, options), discovery: pack.discovery })
    }
  }
  return resolved
}

function scheduled(definition: QueryDefinition, options: ResolveOptions): Omit<ScheduledQuery, 'name' | 'discovery'> {
  return {
    sql: definition.query,
    intervalMs: (definition.interval ?? options.defaultIntervalS) * 1000,
    splayPercent: definition.splay ?? options.defaultSplayPercent,
    mode: definition.snapshot ? 'snapshot' : 'differential',
    logRemoved: definition.removed,
    mayBeDenied: definition.denylist,
  }
}
