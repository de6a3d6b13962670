// Queries, one row per target with its state, and the parts of the answers. Reports may come twice, out of order or
// late: protocol/query-states.ts decides which of them moves a target on.
import type { Columnar } from '../../../protocol/columnar.ts'
import type { DeviceId, QueryId, SiteId } from '../../../protocol/ids.ts'
import { advances, isFinal, queryStates, type QueryState } from '../../../protocol/query-states.ts'
import type { AnswerRecord } from '../../../protocol/records.ts'
import type { Database } from '../../../lib/sqlite/open.ts'
import type { AnswerPart, QueryInput, QueryRecord, SiteContact, TargetRecord } from '../store.ts'

interface QueryRow {
  n: number
  id: QueryId
  sql: string
  targets: string
  created_at_ms: number
  not_after_ms: number
  timeout_ms: number
  max_rows: number
  max_bytes: number
  cost_class: QueryInput['costClass']
  by_whom: string
  why: string | null
  cancelled_at_ms: number | null
  cancelled_by: string | null
  open_targets: number
  target_count: number
  answered: number
}

interface TargetRow {
  id: number
  site_id: SiteId
  host_id: number | null
  state: QueryState
  times: string
  awaits_parts: number
}

interface Report {
  state: QueryState
  atMs: number
  reason: string | null
}

const finalStates = queryStates
  .filter(isFinal)
  .map((state) => `'${state}'`)
  .join(', ')

const withCounts = `SELECT q.*,
  (SELECT count(*) FROM query_target t WHERE t.query_id = q.id) AS target_count,
  (SELECT count(*) FROM query_target t WHERE t.query_id = q.id AND t.state = 'answered') AS answered
  FROM query q`

export function queryTables(database: Database.Database) {
  const insert = database.prepare(`
    INSERT INTO query (id, sql, targets, created_at_ms, not_after_ms, timeout_ms, max_rows, max_bytes, cost_class, by_whom, why, open_targets)
    VALUES (@id, @sql, @targets, @createdAtMs, @notAfterMs, @timeoutMs, @maxRows, @maxBytes, @costClass, @by, @why, 0)`)
  const insertTarget = database.prepare<[string, string, number | null, string, string], TargetRow>(
    'INSERT INTO query_target (query_id, site_id, host_id, state, times) VALUES (?, ?, ?, ?, ?) RETURNING *',
  )
  const addOpen = database.prepare('UPDATE query SET open_targets = open_targets + ? WHERE id = ?')
  const cancel = database.prepare(
    'UPDATE query SET cancelled_at_ms = ?, cancelled_by = ? WHERE id = ? AND cancelled_at_ms IS NULL AND open_targets > 0',
  )
  const one = database.prepare<[string], QueryRow>(`${withCounts} WHERE q.id = ?`)
  const page = database.prepare<Record<string, number | null>, QueryRow>(`${withCounts}
    WHERE (@before IS NULL OR q.n < @before) AND (@done IS NULL OR (q.open_targets = 0) = @done) ORDER BY q.n DESC LIMIT @limit`)
  const targetOfHost = database.prepare<[string, number], TargetRow>(
    'SELECT * FROM query_target WHERE query_id = ? AND host_id = ?',
  )
  const targetsAtSite = database.prepare<[string, string], TargetRow>(
    'SELECT * FROM query_target WHERE query_id = ? AND site_id = ?',
  )
  const standInOf = database.prepare<[string, string], TargetRow>(
    'SELECT * FROM query_target WHERE query_id = ? AND site_id = ? AND host_id IS NULL',
  )
  const update = database.prepare(
    'UPDATE query_target SET state = ?, reason = ?, times = ?, awaits_parts = ? WHERE id = ?',
  )
  const updateTimes = database.prepare('UPDATE query_target SET times = ? WHERE id = ?')
  const setRows = database.prepare('UPDATE query_target SET row_count = coalesce(row_count, 0) + ? WHERE id = ?')
  const targets = database.prepare<
    [string],
    {
      site_id: SiteId
      device: DeviceId | null
      state: QueryState
      reason: string | null
      times: string
      row_count: number | null
      awaits_parts: number
      presence: 'here' | 'gone' | null
      presence_at_ms: number | null
    }
  >(`
    SELECT t.site_id, h.device, t.state, t.reason, t.times, t.row_count, t.awaits_parts, h.presence, h.presence_at_ms
    FROM query_target t LEFT JOIN host h ON h.id = t.host_id WHERE t.query_id = ? ORDER BY t.site_id, h.device`)
  const insertAnswer = database.prepare(`
    INSERT OR IGNORE INTO answer (query_id, host_id, part, parts, row_count, status, message, truncated, warnings, columns, rows, observed_at_ms, received_at_ms)
    VALUES (@queryId, @hostId, @part, @parts, @rowCount, @status, @message, @truncated, @warnings, @columns, @rows, @observedAtMs, @receivedAtMs)`)
  const partsOf = database.prepare<[string, number], { have: number; parts: number }>(
    'SELECT count(*) AS have, coalesce(max(parts), 0) AS parts FROM answer WHERE query_id = ? AND host_id = ?',
  )
  const answers = database.prepare<
    [string, number, number],
    {
      id: number
      site_id: SiteId
      device: DeviceId
      part: number
      parts: number
      status: string
      message: string | null
      truncated: 'rows' | 'bytes' | null
      warnings: string | null
      columns: string
      rows: string
      observed_at_ms: number
      received_at_ms: number
    }
  >(`SELECT a.*, h.site_id, h.device FROM answer a JOIN host h ON h.id = a.host_id
     WHERE a.query_id = ? AND a.id > ? ORDER BY a.id LIMIT ?`)
  const overdueSites = database.prepare<[number], SiteContact>(`
    SELECT DISTINCT s.id, s.last_contact_at_ms AS lastContactAtMs
    FROM query q JOIN query_target t ON t.query_id = q.id JOIN site s ON s.id = t.site_id
    WHERE q.open_targets > 0 AND q.not_after_ms < ? AND t.state NOT IN (${finalStates})`)
  const overdue = database.prepare<[string, number], TargetRow & { query_id: QueryId }>(`
    SELECT t.* FROM query_target t JOIN query q ON q.id = t.query_id
    WHERE q.open_targets > 0 AND t.site_id = ? AND q.not_after_ms < ?
      AND t.state NOT IN (${finalStates})`)

  /** Moves a target on as far as the report justifies. */
  function report(queryId: string, target: TargetRow, { state, atMs, reason }: Report): void {
    const times = JSON.parse(target.times) as Partial<Record<QueryState, number>>
    const isNews = times[state] === undefined
    times[state] ??= atMs
    if (advances(target.state, state)) {
      if (isFinal(state) && !isFinal(target.state)) addOpen.run(-1, queryId)
      update.run(state, reason, JSON.stringify(times), 0, target.id)
      target.state = state
      target.awaits_parts = 0
    } else if (isNews) {
      updateTimes.run(JSON.stringify(times), target.id)
    }
    target.times = JSON.stringify(times)
  }

  function addTarget(queryId: string, site: string, hostId: number | null, state: QueryState, atMs: number): TargetRow {
    addOpen.run(1, queryId)
    return insertTarget.get(queryId, site, hostId, state, JSON.stringify({ [state]: atMs }))!
  }

  /** The target of a host, added when its site was asked but the host was not known then; undefined when it was not. */
  function targetOf(queryId: string, site: string, hostId: number, atMs: number): TargetRow | undefined {
    const known = targetOfHost.get(queryId, hostId)
    if (known) return known
    if (targetsAtSite.get(queryId, site) === undefined) return undefined
    return addTarget(queryId, site, hostId, 'at-site', atMs)
  }

  /** The stand-in for a site's unknown devices has done its part once devices reported and all of them are final. */
  function settleStandIn(queryId: string, site: string, atMs: number): void {
    const standIn = standInOf.get(queryId, site)
    if (standIn === undefined || isFinal(standIn.state)) return
    const devices = targetsAtSite.all(queryId, site).filter((target) => target.host_id !== null)
    if (devices.length > 0 && devices.every((target) => isFinal(target.state))) {
      report(queryId, standIn, { state: 'answered', atMs, reason: `${devices.length} devices reported` })
    }
  }

  return {
    create(query: QueryInput): void {
      insert.run({ ...query, targets: JSON.stringify(query.targets) })
    },
    addTarget,
    cancel: (id: string, who: string, atMs: number) => cancel.run(atMs, who, id).changes > 0,
    one(id: string): QueryRecord | undefined {
      const row = one.get(id)
      return row && toRecord(row)
    },
    page: (filter: { isDone?: boolean | undefined; before?: number | undefined; limit: number }): QueryRecord[] =>
      page
        .all({
          before: filter.before ?? null,
          done: filter.isDone === undefined ? null : Number(filter.isDone),
          limit: filter.limit,
        })
        .map(toRecord),
    targets: (id: string): TargetRecord[] =>
      targets.all(id).map((row) => ({
        site: row.site_id,
        device: row.device,
        state: row.state,
        reason: row.reason,
        times: JSON.parse(row.times) as TargetRecord['times'],
        rows: row.row_count,
        awaitsParts: row.awaits_parts === 1,
        presence: row.presence,
        presenceAtMs: row.presence_at_ms,
      })),
    /** A report about one host. False when the query did not address that site. */
    reportHost(queryId: string, site: string, hostId: number, given: Report): boolean {
      const target = targetOf(queryId, site, hostId, given.atMs)
      if (target === undefined) return false
      const { have, parts } = partsOf.get(queryId, hostId)!
      if (given.state === 'answered' && (have === 0 || have < parts)) {
        // The rows are still on their way: nobody may think that they have seen all of them.
        if (isFinal(target.state)) return true
        report(queryId, target, { state: 'running', atMs: given.atMs, reason: null })
        update.run(target.state, null, target.times, 1, target.id)
        return true
      }
      report(queryId, target, given)
      settleStandIn(queryId, site, given.atMs)
      return true
    },
    /** A report about the site as a whole moves each of its targets. */
    reportSite(queryId: string, site: string, given: Report): boolean {
      const all = targetsAtSite.all(queryId, site)
      for (const target of all) report(queryId, target, given)
      return all.length > 0
    },
    /** Stores a part of an answer; the last one to come makes the target final. False when the site was not asked. */
    answer(
      site: string,
      hostId: number,
      record: AnswerRecord,
      at: { observedAtMs: number; receivedAtMs: number },
    ): boolean {
      const { queryId } = record
      const target = targetOf(queryId, site, hostId, at.receivedAtMs)
      if (target === undefined) return false
      const known = partsOf.get(queryId, hostId)!
      if (known.have > 0 && known.parts !== record.parts) return true
      const rowCount = record.rows[0]?.length ?? 0
      const { changes } = insertAnswer.run({
        queryId,
        hostId,
        part: record.part,
        parts: record.parts,
        rowCount,
        status: record.status,
        message: record.message ?? null,
        truncated: record.truncated ?? null,
        warnings: record.warnings === undefined ? null : JSON.stringify(record.warnings),
        columns: JSON.stringify(record.columns),
        rows: JSON.stringify(record.rows),
        ...at,
      })
      if (changes === 0) return true
      setRows.run(rowCount, target.id)
      const isComplete = known.have + 1 === record.parts
      const isOk = record.status === 'ok'
      if (isComplete || !isOk) {
        const reason = isOk ? null : `${record.status}${record.message === undefined ? '' : `: ${record.message}`}`
        report(queryId, target, { state: isOk ? 'answered' : 'failed', atMs: at.receivedAtMs, reason })
      } else {
        report(queryId, target, { state: 'running', atMs: at.receivedAtMs, reason: null })
      }
      settleStandIn(queryId, site, at.receivedAtMs)
      return true
    },
    answersAfter: (id: string, after: number, limit: number): AnswerPart[] =>
      answers.all(id, after, limit).map((row) => ({
        cursor: row.id,
        site: row.site_id,
        device: row.device,
        part: row.part,
        parts: row.parts,
        status: row.status,
        message: row.message,
        truncated: row.truncated,
        warnings: row.warnings === null ? null : (JSON.parse(row.warnings) as string[]),
        columns: JSON.parse(row.columns) as string[],
        rows: JSON.parse(row.rows) as Columnar,
        observedAtMs: row.observed_at_ms,
        receivedAtMs: row.received_at_ms,
      })),
    overdueSites: (nowMs: number) => overdueSites.all(nowMs),
    expire(site: string, validBeforeMs: number, atMs: number, reason: string): QueryId[] {
      const changed = new Set<QueryId>()
      for (const target of overdue.all(site, validBeforeMs)) {
        const lost = target.awaits_parts === 1 ? 'part of the answer is missing; ' : ''
        report(target.query_id, target, { state: 'unreachable', atMs, reason: `${lost}${reason}` })
        changed.add(target.query_id)
      }
      return [...changed]
    },
  }
}

function toRecord(row: QueryRow): QueryRecord {
  return {
    n: row.n,
    id: row.id,
    sql: row.sql,
    targets: JSON.parse(row.targets) as string[],
    createdAtMs: row.created_at_ms,
    notAfterMs: row.not_after_ms,
    timeoutMs: row.timeout_ms,
    maxRows: row.max_rows,
    maxBytes: row.max_bytes,
    costClass: row.cost_class,
    by: row.by_whom,
    why: row.why,
    cancelledAtMs: row.cancelled_at_ms,
    cancelledBy: row.cancelled_by,
    counts: {
      targets: row.target_count,
      answered: row.answered,
      failed: row.target_count - row.answered - row.open_targets,
      waiting: row.open_targets,
    },
    isDone: row.open_targets === 0,
  }
}
