// SQL over the agent's tables, in the calling thread: an in-memory SQLite connection, one SELECT at a time, with limits
// on time, memory, rows and bytes. It blocks while a statement runs; the worker exists for that. After ENGINE_DIED the
// instance must be thrown away: C code may have stopped half way.
import { performance } from 'node:perf_hooks'
import { AppError } from '../../lib/errors.ts'
import { formatBytes, formatDuration } from '../../lib/units.ts'
import type { Cell } from '../../protocol/cells.ts'
import { limits } from '../../protocol/limits.ts'
import type { Device } from '../sources/device.ts'
import type { Table } from '../tables/define.ts'
import { authorize } from './authorizer.ts'
import { threadCpuMs } from './cpu-time.ts'
import { registerFunctions } from './functions/register.ts'
import type { CoreQuery, Prepared, QueryColumn, QueryOutcome } from './query.ts'
import { SQLITE, Sqlite, SqliteMemoryError } from './sqlite.ts'
import { columnCell } from './values.ts'
import { VirtualTables } from './virtual-tables.ts'
import { Warnings } from './warnings.ts'

export interface CoreOptions {
  tables: readonly Table[]
  device: Device
  memoryMaxBytes: number
  /** Milliseconds of a clock that never goes back. */
  nowMs?: () => number
}

/** Any one value inside a statement; a cell of the result is held to protocol's `cellBytes`. */
const valueMaxBytes = 4 * 1_048_576
// Virtual machine steps between two looks at the clock: some 50 µs on a PC, 1 ms on a small ARM board.
const stepsPerTick = 2000
const batch = { rows: 500, bytes: 65_536 }

export class Core {
  readonly #sqlite: Sqlite
  readonly #db: number
  readonly #device: Device
  readonly #tables: VirtualTables
  readonly #nowMs: () => number
  readonly #memoryMaxBytes: number
  #isPreparing = false
  #denied: string | undefined
  #tablesRead = new Set<string>()
  #tick: (() => void) | undefined
  #failure: AppError | undefined
  #isBroken = false

  private constructor(sqlite: Sqlite, options: CoreOptions) {
    this.#sqlite = sqlite
    this.#device = options.device
    this.#nowMs = options.nowMs ?? (() => performance.now())
    this.#memoryMaxBytes = options.memoryMaxBytes
    this.#db = this.#open()
    this.#tables = new VirtualTables(sqlite, options.tables)
    this.#tables.register(this.#db)
    registerFunctions(sqlite, this.#db)
    this.#guard()
  }

  static async open(options: CoreOptions): Promise<Core> {
    return new Core(await Sqlite.load(options.memoryMaxBytes), options)
  }

  /** Memory that SQLite has taken and keeps; it never shrinks. */
  get memoryBytes(): number {
    return this.#sqlite.memoryBytes
  }

  close(): void {
    this.#sqlite.c.sqlite3_close_v2(this.#db)
  }

  /** Checks the statement without running it. Throws AppError QUERY_INVALID. */
  prepare(sql: string): Prepared {
    return this.#unbroken(() => {
      const columns = this.#withStatement(sql, (statement) => this.#columns(statement))
      // The plan that SQLite settled on is only told by EXPLAIN: "SCAN f VIRTUAL TABLE INDEX 3:".
      const missing = new Set<string>()
      const isExplain = /^\s*explain\b/i.test(sql)
      const listPlans = (statement: number): void => {
        while (this.#sqlite.c.sqlite3_step(statement) === SQLITE.ROW) {
          const detail = String(columnCell(this.#sqlite, statement, 3).cell)
          const plan = this.#tables.plans[Number(/ VIRTUAL TABLE INDEX ([0-9]+):/.exec(detail)?.[1])]
          if (plan?.isRequiredMissing) missing.add(plan.layout.table.name)
        }
      }
      this.#withStatement(sql, listPlans, isExplain ? '' : 'EXPLAIN QUERY PLAN ')
      const tables = [...this.#tablesRead].sort().map((name) => ({ name, isRequiredMissing: missing.has(name) }))
      return { columns, tables }
    })
  }

  /**
   * Runs one SELECT. Throws AppError QUERY_INVALID, QUERY_TIMEOUT, QUERY_CANCELLED, QUERY_MEMORY or TABLE_FAILED;
   * batches of rows handed out before are then part of no result.
   */
  run(sql: string, query: CoreQuery): QueryOutcome {
    return this.#unbroken(() => {
      const startedMs = this.#nowMs()
      const cpuBefore = threadCpuMs()
      const warnings = new Warnings()
      this.#failure = undefined
      this.#sqlite.memoryPeakBytes(true)
      const tick = (): void => {
        if (query.isCancelled()) throw new AppError('QUERY_CANCELLED', 'the query was cancelled')
        if (this.#nowMs() - startedMs < query.timeoutMs) return
        throw new AppError('QUERY_TIMEOUT', `the query ran longer than ${formatDuration(query.timeoutMs)}`, {
          hint: 'narrow it with a condition on an indexed column, or allow more time',
        })
      }
      try {
        return this.#withStatement(sql, (statement) => {
          const columns = this.#columns(statement)
          this.#tick = tick
          this.#tables.host = {
            context: {
              device: this.#device,
              agent: query.facts,
              warn: (message) => warnings.add(message),
              checkpoint: tick,
            },
            fail: (error, table) => this.#fail(error, table),
            tick,
          }
          const truncated = this.#fetch(statement, columns, query)
          const cpuAfter = threadCpuMs()
          return {
            columns,
            ...(truncated === undefined ? {} : { truncated }),
            warnings: warnings.list(),
            stats: {
              wallTimeMs: Math.round(this.#nowMs() - startedMs),
              ...(cpuBefore && cpuAfter
                ? {
                    userTimeMs: cpuAfter.userMs - cpuBefore.userMs,
                    systemTimeMs: cpuAfter.systemMs - cpuBefore.systemMs,
                  }
                : {}),
              memoryBytes: this.#sqlite.memoryPeakBytes(false),
            },
          }
        })
      } finally {
        this.#tick = undefined
        this.#tables.reset()
        this.#sqlite.releaseScratch()
      }
    })
  }

  #open(): number {
    const { c } = this.#sqlite
    const out = this.#sqlite.allocate(4)
    const flags = SQLITE.OPEN_READWRITE | SQLITE.OPEN_CREATE | SQLITE.OPEN_MEMORY
    const code = this.#sqlite.withCString(':memory:', (name) => c.sqlite3_open_v2(name, out, flags, 0))
    if (code !== SQLITE.OK) throw new AppError('ENGINE_DIED', `SQLite does not open a database (code ${code})`)
    return this.#sqlite.pointerAt(out)
  }

  #guard(): void {
    const { c } = this.#sqlite
    c.sqlite3_limit(this.#db, SQLITE.LIMIT_LENGTH, valueMaxBytes)
    c.sqlite3_limit(this.#db, SQLITE.LIMIT_SQL_LENGTH, limits.sqlBytes + 64)
    c.sqlite3_limit(this.#db, SQLITE.LIMIT_ATTACHED, 0)
    // A pattern of many % takes time exponential in their number, and a single LIKE cannot be interrupted.
    c.sqlite3_limit(this.#db, SQLITE.LIMIT_LIKE_PATTERN_LENGTH, 1024)
    const authorizer = this.#sqlite.install('ipipppp', (_: number, action: number, first: number, second: number) =>
      this.#authorize(action, first, second),
    )
    c.sqlite3_set_authorizer(this.#db, authorizer, 0)
    const progress = this.#sqlite.install('ip', () => {
      try {
        this.#tick?.()
        return 0
      } catch (error) {
        this.#fail(error, '')
        return 1
      }
    })
    c.sqlite3_progress_handler(this.#db, stepsPerTick, progress, 0)
  }

  #authorize(action: number, first: number, second: number): number {
    const table = this.#sqlite.textAt(first) ?? ''
    const verdict = authorize(action, table, this.#sqlite.textAt(second) ?? '', this.#isPreparing)
    this.#denied ??= verdict.reason
    const known = this.#tables.byName.get(table)
    if (known !== undefined) this.#tablesRead.add(known.name)
    return verdict.code
  }

  #withStatement<T>(sql: string, work: (statement: number) => T, prefix = ''): T {
    const { c } = this.#sqlite
    const statement = this.#compile(sql, prefix)
    try {
      return work(statement)
    } finally {
      c.sqlite3_finalize(statement)
    }
  }

  #compile(sql: string, prefix: string): number {
    const byteCount = Buffer.byteLength(sql)
    if (byteCount > limits.sqlBytes) {
      throw invalid(`the SQL has ${byteCount} bytes, the limit is ${limits.sqlBytes}`)
    }
    if (sql.includes('\0')) throw invalid('the SQL contains a NUL character')
    const sqlite = this.#sqlite
    this.#tables.reset()
    this.#denied = undefined
    this.#tablesRead = new Set()
    return sqlite.withCString(prefix + sql, (text) => {
      const out = sqlite.allocate(8)
      try {
        const prepareAt = (start: number): number => {
          this.#isPreparing = true
          const code = sqlite.c.sqlite3_prepare_v3(this.#db, start, -1, 0, out, out + 4)
          this.#isPreparing = false
          if (code !== SQLITE.OK) throw this.#compileError(code)
          return sqlite.pointerAt(out)
        }
        const statement = prepareAt(text)
        if (statement === 0) throw invalid('there is no SQL statement')
        try {
          const second = prepareAt(sqlite.pointerAt(out + 4))
          sqlite.c.sqlite3_finalize(second)
          if (second !== 0) throw invalid('more than one statement', 'send one SELECT at a time')
          // VACUUM and the like ask no authorizer; they return no columns.
          if (sqlite.c.sqlite3_column_count(statement) === 0 || sqlite.c.sqlite3_stmt_readonly(statement) === 0) {
            throw invalid('the statement is not a SELECT')
          }
          if (sqlite.c.sqlite3_column_count(statement) > limits.columns) {
            throw invalid(`the result has more than ${limits.columns} columns`)
          }
        } catch (error) {
          sqlite.c.sqlite3_finalize(statement)
          throw error
        }
        return statement
      } finally {
        sqlite.c.sqlite3_free(out)
      }
    })
  }

  #compileError(code: number): AppError {
    if (this.#denied !== undefined)
      return invalid(this.#denied, 'send one SELECT; WITH, VALUES and EXPLAIN are allowed too')
    if (code === SQLITE.NOMEM) return this.#outOfMemory()
    return invalid(this.#message())
  }

  #message(): string {
    return this.#sqlite.textAt(this.#sqlite.c.sqlite3_errmsg(this.#db)) ?? 'unknown error'
  }

  #columns(statement: number): QueryColumn[] {
    const { c } = this.#sqlite
    return Array.from({ length: c.sqlite3_column_count(statement) }, (_, index) => ({
      name: columnName(this.#sqlite.textAt(c.sqlite3_column_name(statement, index)) ?? '', index),
      type: this.#sqlite.textAt(c.sqlite3_column_decltype(statement, index)) ?? '',
    }))
  }

  #fetch(statement: number, columns: readonly QueryColumn[], query: CoreQuery): 'rows' | 'bytes' | undefined {
    const { c } = this.#sqlite
    let rows: Cell[][] = []
    let rowCount = 0
    let totalBytes = 0
    let batchBytes = 0
    let truncated: 'rows' | 'bytes' | undefined
    for (;;) {
      const code = c.sqlite3_step(statement)
      if (code === SQLITE.DONE) break
      if (code !== SQLITE.ROW) throw this.#stepError(code)
      const { cells, byteCount } = this.#row(statement, columns.length)
      if (rowCount === query.maxRows) truncated = 'rows'
      else if (totalBytes + byteCount > query.maxBytes) truncated = 'bytes'
      if (truncated !== undefined) break
      rows.push(cells)
      rowCount += 1
      totalBytes += byteCount
      batchBytes += byteCount
      if (rows.length < batch.rows && batchBytes < batch.bytes) continue
      query.onRows(rows, columns)
      rows = []
      batchBytes = 0
    }
    if (rows.length > 0) query.onRows(rows, columns)
    return truncated
  }

  #row(statement: number, columnCount: number): { cells: Cell[]; byteCount: number } {
    let byteCount = 0
    const cells = Array.from({ length: columnCount }, (_, index) => {
      const value = columnCell(this.#sqlite, statement, index)
      byteCount += value.byteCount
      if (value.byteCount > limits.cellBytes) {
        throw new AppError('QUERY_MEMORY', `a value has ${value.byteCount} bytes, the limit is ${limits.cellBytes}`, {
          hint: 'take a part of it with substr()',
        })
      }
      return value.cell
    })
    return { cells, byteCount }
  }

  #fail(error: unknown, table: string): void {
    if (isFatal(error)) this.#isBroken = true
    this.#failure ??= this.#failureOf(error, table)
  }

  #failureOf(error: unknown, table: string): AppError {
    if (error instanceof AppError && error.code.startsWith('QUERY_')) return error
    if (error instanceof SqliteMemoryError) return this.#outOfMemory()
    const reason = error instanceof Error ? error.message : String(error)
    return new AppError('TABLE_FAILED', `table ${table}: ${reason}`, { cause: error })
  }

  #stepError(code: number): AppError {
    if (this.#isBroken) return died(this.#failure?.message ?? this.#message(), this.#failure)
    if (this.#failure !== undefined) return this.#failure
    if (code === SQLITE.NOMEM) return this.#outOfMemory()
    if (code === SQLITE.TOOBIG) {
      return new AppError('QUERY_MEMORY', `a value inside the query grew beyond ${formatBytes(valueMaxBytes)}`)
    }
    if (code === SQLITE.AUTH && this.#denied !== undefined) return invalid(this.#denied)
    return invalid(this.#message())
  }

  #outOfMemory(): AppError {
    return new AppError('QUERY_MEMORY', `the query needs more than ${formatBytes(this.#memoryMaxBytes)} of memory`, {
      hint: 'narrow it with a condition, or allow more memory',
    })
  }

  #unbroken<T>(work: () => T): T {
    if (this.#isBroken) throw died('it failed before')
    try {
      return work()
    } catch (error) {
      if (error instanceof AppError) throw error
      if (error instanceof SqliteMemoryError) throw this.#outOfMemory()
      this.#isBroken = true
      throw died((error as Error).message, error)
    }
  }
}

// A stack that overflowed or a trap inside WebAssembly may have left C code half done.
function isFatal(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return error.name === 'RuntimeError' || (error instanceof RangeError && /call stack/.test(error.message))
}

function invalid(message: string, hint?: string): AppError {
  return new AppError('QUERY_INVALID', message, hint === undefined ? {} : { hint })
}

function died(reason: string, cause?: unknown): AppError {
  return new AppError('ENGINE_DIED', `the SQL engine failed: ${reason}`, { cause })
}

// The name of an expression is its text; records carry names of 1 to nameBytes bytes.
function columnName(name: string, index: number): string {
  if (name === '') return `column${index + 1}`
  if (Buffer.byteLength(name) <= limits.nameBytes) return name
  return Buffer.from(name)
    .toString('utf8', 0, limits.nameBytes)
    .replace(/\uFFFD+$/, '')
}
