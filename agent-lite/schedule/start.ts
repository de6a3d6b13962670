// The schedule as the rest of the agent sees it: started with the engine and the outbox, it fills the outbox until it is
// stopped. A query that cannot run says so once, in a status record, not at every run.
import { join } from 'node:path'
import { AppError } from '../../lib/errors.ts'
import type { Logger } from '../../lib/log.ts'
import { formatBytes } from '../../lib/units.ts'
import type { SeqRange } from '../../protocol/seq-ranges.ts'
import type { AgentConfig } from '../config.ts'
import { statusOfError } from '../dispatch/query-failure.ts'
import type { AgentFacts, ScheduledQueryFacts } from '../tables/define.ts'
import { systemClock } from './clock.ts'
import { Discovery } from './discovery.ts'
import type { Clock, DenyList, QueryRunner, RecordSink, RunResult } from './ports.ts'
import { Reporter } from './reporter.ts'
import { ResultsStore } from './results-store.ts'
import type { ScheduledQuery } from './scheduled-query.ts'
import { Scheduler, type Plan } from './scheduler.ts'
import { addRun, factsOf } from './statistics.ts'

export interface ScheduleOptions {
  config: Pick<AgentConfig, 'schedule' | 'dataDir' | 'results' | 'query' | 'options'>
  /** Device id: slots are spread by it. */
  device: string
  engine: QueryRunner
  outbox: RecordSink
  /** Given to the engine with each query. */
  facts(): AgentFacts
  denyList: DenyList
  log: Logger
  clock?: Clock
}

export interface QueryState extends Plan {
  /** Why the newest run had no whole result; undefined when all is well. */
  problem: string | undefined
}

export interface Schedule {
  /** Rows of osquery_schedule. */
  readonly facts: ScheduledQueryFacts[]
  readonly state: QueryState[]
  /** To be called from the outbox's onLost: queries whose records will not arrive are sent again in full. */
  noteLost(ranges: readonly SeqRange[]): void
  /** Ends a run under way and remembers what was sent. Stop it after all else that adds records, before the outbox. */
  stop(): Promise<void>
}

/** Snapshots that come oftener are not worth the flash wear of keeping them. */
const keptSnapshotIntervalMs = 3_600_000
/** A problem that comes and goes is told of no oftener. */
const tellAgainMs = 3_600_000

/** Runs the schedule. Throws AppError RESULTS_UNUSABLE (exit 5). */
export async function startSchedule(options: ScheduleOptions): Promise<Schedule> {
  const { config, outbox, log, clock = systemClock } = options
  const store = await ResultsStore.open({
    folder: join(config.dataDir, 'results'),
    queries: new Map(config.schedule.map((query) => [query.name, isKept(query)])),
    outbox,
    clock,
    log,
  })
  const runs = new Runs({ ...options, clock }, store)
  const scheduler = new Scheduler({
    device: options.device,
    queries: config.schedule,
    clock,
    log,
    lastSlotMs: (name) => store.entry(name).lastSlotMs,
    run: (query, slotMs, signal) => runs.run(query, slotMs, signal),
  })
  return {
    get facts() {
      return config.schedule.map((query) => factsOf(query, store.entry(query.name).totals, runs.isDenied(query)))
    },
    get state() {
      return scheduler.plans.map((plan) => ({ ...plan, problem: runs.problemOf(plan.name) }))
    },
    noteLost: (ranges) => store.noteLost(ranges),
    async stop() {
      await scheduler.stop()
      await outbox.flush()
      await store.close()
    },
  }
}

function isKept({ mode, intervalMs }: ScheduledQuery): boolean {
  return mode === 'differential' || intervalMs >= keptSnapshotIntervalMs
}

class Runs {
  readonly #options: ScheduleOptions & { clock: Clock }
  readonly #store: ResultsStore
  readonly #reporter: Reporter
  readonly #discovery: Discovery
  /** By query: what is wrong with it now. */
  readonly #problems = new Map<string, { code: string; message: string }>()
  readonly #toldAtSteadyMs = new Map<string, number>()

  constructor(options: ScheduleOptions & { clock: Clock }, store: ResultsStore) {
    const { config, outbox, clock } = options
    this.#options = options
    this.#store = store
    this.#reporter = new Reporter(outbox, store, {
      freshnessMs: config.results.freshness,
      resyncEveryMs: config.results.resyncEvery,
      resyncAfter: config.results.resyncAfter,
    })
    this.#discovery = new Discovery(config.options.pack_refresh_interval * 1000, () => clock.steadyMs())
  }

  isDenied(query: ScheduledQuery): boolean {
    return query.mayBeDenied && this.#options.denyList.reasonFor(query.sql) !== undefined
  }

  problemOf(name: string): string | undefined {
    return this.#problems.get(name)?.message
  }

  async run(query: ScheduledQuery, slotMs: number, signal: AbortSignal): Promise<void> {
    try {
      if (!(await this.#mayRun(query, signal))) return
      await this.#run(query, signal)
    } catch (error) {
      // Ended by a stop: the next start runs it for this slot.
      if (signal.aborted) return
      const code = error instanceof AppError ? error.code : (error as Error).name
      this.#noteProblem(query, code, (error as Error).message, 'error')
    }
    this.#store.entry(query.name).lastSlotMs = slotMs
  }

  async #mayRun(query: ScheduledQuery, signal: AbortSignal): Promise<boolean> {
    const { denyList } = this.#options
    const denied = query.mayBeDenied ? denyList.reasonFor(query.sql) : undefined
    if (denied !== undefined) {
      this.#noteProblem(query, 'QUERY_DENYLISTED', `is on the deny list: ${denied}`, 'warning')
      return false
    }
    const isActive = await this.#discovery.isActive(query.discovery, async (sql) => {
      return denyList.reasonFor(sql) === undefined && (await this.#query(sql, signal)).rows.length > 0
    })
    return isActive && !signal.aborted
  }

  async #run(query: ScheduledQuery, signal: AbortSignal): Promise<void> {
    const { clock, config } = this.#options
    const atMs = Math.max(0, clock.nowMs())
    const result = await this.#query(query.sql, signal, query.mayBeDenied)
    const columns = result.columns.map(({ name }) => name)
    const report = await this.#reporter.report(query, { columns, rows: result.rows }, atMs)
    const entry = this.#store.entry(query.name)
    entry.totals = addRun(entry.totals, atMs, report.outputBytes, result.stats)
    if (result.truncated !== undefined) {
      const limit = result.truncated === 'rows' ? `${config.query.maxRows} rows` : formatBytes(config.query.maxBytes)
      const message = `has more than ${limit} (query.max${result.truncated === 'rows' ? 'Rows' : 'Bytes'}): only the first ${result.rows.length} rows are reported`
      this.#noteProblem(query, 'RESULT_TRUNCATED', message, 'warning')
    } else if (report.leftOutCount > 0) {
      const message = `has more rows than fit into a record: ${report.leftOutCount} of ${result.rows.length} are left out`
      this.#noteProblem(query, 'RESULT_TRUNCATED', message, 'warning')
    } else if (result.warnings.length > 0) {
      const more = result.warnings.length > 3 ? ` and ${result.warnings.length - 3} more` : ''
      this.#noteProblem(query, 'RESULT_INCOMPLETE', `${result.warnings.slice(0, 3).join('; ')}${more}`, 'warning')
    } else this.#noteSound(query)
  }

  async #query(sql: string, signal: AbortSignal, mayBeDenied = true): Promise<RunResult> {
    const { engine, facts, config, denyList } = this.#options
    const { timeout, maxRows, maxBytes } = config.query
    try {
      return await engine.query(sql, { facts: facts(), timeoutMs: timeout, maxRows, maxBytes, signal })
    } catch (error) {
      const { endedEngine, message } = statusOfError(error)
      if (mayBeDenied && endedEngine && !signal.aborted) denyList.add(sql, message)
      throw error
    }
  }

  /** Tells the site when a problem begins, but not every time that one comes and goes. */
  #noteProblem(query: ScheduledQuery, code: string, message: string, severity: 'warning' | 'error'): void {
    const { log, outbox, clock } = this.#options
    const isNew = this.#problems.get(query.name)?.code !== code
    this.#problems.set(query.name, { code, message })
    const key = `${code} ${query.name}`
    const isRecent = clock.steadyMs() - (this.#toldAtSteadyMs.get(key) ?? -Infinity) < tellAgainMs
    if (!isNew || isRecent) return
    this.#toldAtSteadyMs.set(key, clock.steadyMs())
    const text = `scheduled query ${query.name}: ${message} (${code})`
    log[severity === 'error' ? 'error' : 'warn']({ query: query.name, code }, text)
    try {
      outbox.add({ kind: 'status', atMs: Math.max(0, clock.nowMs()), severity, message: text.slice(0, 4096) })
    } catch (error) {
      log.error({ query: query.name, error: (error as Error).message }, 'the outbox does not take a status record')
    }
  }

  #noteSound(query: ScheduledQuery): void {
    if (this.#problems.delete(query.name))
      this.#options.log.info({ query: query.name }, 'a scheduled query is sound again')
  }
}
