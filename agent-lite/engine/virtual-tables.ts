// Tables as SQLite sees them: one eponymous, read-only virtual table per osquery table and per alias. Rows come from the
// reader one xNext at a time, so LIMIT 1 reads no more than it needs. Every callback catches: an exception that crossed a
// C frame would leave SQLite in an undefined state.
import { AppError } from '../../lib/errors.ts'
import type { TableSpec } from '../../protocol/tables.ts'
import type { Constraint, ConstraintOperator, ReadContext, SqlValue, Table } from '../tables/define.ts'
import { ask, type Asked } from './constraints.ts'
import { declaration, layOut, type Layout } from './layout.ts'
import { plan, type Plan, type Term } from './plan.ts'
import { SQLITE, type Sqlite } from './sqlite.ts'
import { rawValue, resultOf } from './values.ts'
import { contentId } from './content-id.ts'

type Row = Record<string, SqlValue | undefined>

/** What the statement that is running offers its scans. */
export interface ScanHost {
  context: Pick<ReadContext, 'device' | 'agent' | 'warn' | 'checkpoint'>
  /** Keeps the first reason a statement failed for. */
  fail(error: unknown, table: string): void
  /** Called before each row; throws to stop the statement. */
  tick(): void
}

interface Scan {
  layout: Layout
  rows: Iterator<Row> | undefined
  row: Row | undefined
}

/** A scan without conditions that a join repeats: its rows, kept from the second time on. */
interface Repeated {
  scanCount: number
  rows: Row[]
  isComplete: boolean
}

// Keeps a repeated scan's memory bounded; beyond it the reader simply runs again.
const repeatedRowsMax = 20_000

// Others see only their own files anyway.
const isRoot = process.geteuid?.() === 0

const operators = new Map<number, ConstraintOperator>([
  [2, '='],
  [4, '>'],
  [8, '<='],
  [16, '<'],
  [32, '>='],
  [65, 'LIKE'],
  [66, 'GLOB'],
])

// struct sqlite3_vtab for wasm32, followed by a word of ours, and sqlite3_vtab_cursor.
const vtab = { byteCount: 16, layout: 12 }
const cursorBytes = 4
// struct sqlite3_module: iVersion and 25 methods, of which a read-only table has these.
const moduleBytes = 104
const moduleMethod = {
  xConnect: 8,
  xBestIndex: 12,
  xDisconnect: 16,
  xOpen: 24,
  xClose: 28,
  xFilter: 32,
  xNext: 36,
  xEof: 40,
  xColumn: 44,
  xRowid: 48,
}
// struct sqlite3_index_info and the elements of its arrays.
const info = { count: 0, constraints: 4, usages: 16, index: 20, cost: 40, rows: 48, used: 64 }
const constraint = { byteCount: 12, column: 0, operator: 4, usable: 5 }
const usage = { byteCount: 8, argument: 0 }

export class VirtualTables {
  /** Names that SQL may read: tables and their aliases, mapped to the table. */
  readonly byName: ReadonlyMap<string, Table>
  /** What xBestIndex decided for the statement in hand; SQLite names one by its index. */
  plans: Plan[] = []
  host: ScanHost | undefined

  readonly #sqlite: Sqlite
  readonly #layouts: readonly Layout[]
  readonly #tables: readonly Table[]
  readonly #scans = new Map<number, Scan>()
  readonly #repeated = new Map<number, Repeated>()

  constructor(sqlite: Sqlite, tables: readonly Table[]) {
    this.#sqlite = sqlite
    this.#tables = tables
    this.#layouts = tables.map(layOut)
    this.byName = new Map(
      tables.flatMap((table) => [table.name, ...(table.aliases ?? [])].map((name) => [name, table])),
    )
  }

  /** Adds the tables to a connection, in place of the modules SQLite brings along (dbstat, fts5, sqlite_stmt, …). */
  register(db: number): void {
    const sqlite = this.#sqlite
    sqlite.c.sqlite3_drop_modules(db, 0)
    const module = this.#module()
    this.#tables.forEach((table, index) => {
      for (const name of [table.name, ...(table.aliases ?? [])]) {
        sqlite.withCString(name, (text) => sqlite.c.sqlite3_create_module_v2(db, text, module, index, 0))
      }
    })
  }

  /** Forgets the last statement. */
  reset(): void {
    this.plans = []
    this.#repeated.clear()
    this.host = undefined
  }

  #module(): number {
    const sqlite = this.#sqlite
    const module = sqlite.allocate(moduleBytes)
    const install = (
      method: keyof typeof moduleMethod,
      signature: string,
      callback: (...args: never[]) => number,
    ): void => sqlite.view().setUint32(module + moduleMethod[method], sqlite.install(signature, callback), true)
    // No xCreate: the tables exist by name only and CREATE VIRTUAL TABLE is impossible.
    install('xConnect', 'ippippp', (db: number, index: number, _argc: number, _argv: number, out: number) =>
      this.#connect(db, index, out),
    )
    install('xBestIndex', 'ipp', (table: number, indexInfo: number) => this.#bestIndex(table, indexInfo))
    install('xDisconnect', 'ip', (table: number) => this.#free(table))
    install('xOpen', 'ipp', (table: number, out: number) => this.#open(table, out))
    install('xClose', 'ip', (at: number) => this.#close(at))
    install('xFilter', 'ipipip', (at: number, index: number, _text: number, argc: number, argv: number) =>
      this.#filter(at, index, argc, argv),
    )
    install('xNext', 'ip', (at: number) => this.#next(at))
    install('xEof', 'ip', (at: number) => (this.#scan(at).row === undefined ? 1 : 0))
    install('xColumn', 'ippi', (at: number, context: number, index: number) => this.#column(at, context, index))
    install('xRowid', 'ipp', (at: number, out: number) => this.#rowid(at, out))
    return module
  }

  #connect(db: number, index: number, out: number): number {
    return this.#guarded(() => {
      const sqlite = this.#sqlite
      const layout = this.#layouts[index] as Layout
      const code = sqlite.withCString(declaration(layout), (sql) => sqlite.c.sqlite3_declare_vtab(db, sql))
      if (code !== SQLITE.OK) return code
      const table = sqlite.allocate(vtab.byteCount)
      sqlite.view().setUint32(table + vtab.layout, index, true)
      sqlite.view().setUint32(out, table, true)
      return SQLITE.OK
    })
  }

  #layout(table: number): Layout {
    return this.#layouts[this.#sqlite.pointerAt(table + vtab.layout)] as Layout
  }

  #bestIndex(table: number, indexInfo: number): number {
    return this.#guarded(() => {
      const sqlite = this.#sqlite
      const terms = this.#terms(indexInfo)
      const chosen = plan(this.#layout(table), terms, sqlite.view().getBigUint64(indexInfo + info.used, true))
      const usages = sqlite.pointerAt(indexInfo + info.usages)
      chosen.pushed.forEach(({ term, isIn }, index) => {
        if (isIn) sqlite.c.sqlite3_vtab_in(indexInfo, term, 1)
        sqlite.view().setInt32(usages + term * usage.byteCount + usage.argument, index + 1, true)
      })
      const view = sqlite.view()
      view.setInt32(indexInfo + info.index, this.plans.push(chosen) - 1, true)
      view.setFloat64(indexInfo + info.cost, chosen.cost, true)
      view.setBigInt64(indexInfo + info.rows, BigInt(chosen.rows), true)
      return SQLITE.OK
    })
  }

  #terms(indexInfo: number): Term[] {
    const sqlite = this.#sqlite
    const view = sqlite.view()
    const constraints = sqlite.pointerAt(indexInfo + info.constraints)
    return Array.from({ length: view.getInt32(indexInfo + info.count, true) }, (_, index) => {
      const at = constraints + index * constraint.byteCount
      return {
        column: view.getInt32(at + constraint.column, true),
        operator: operators.get(view.getUint8(at + constraint.operator)),
        isUsable: view.getUint8(at + constraint.usable) !== 0,
        collation: sqlite.textAt(sqlite.c.sqlite3_vtab_collation(indexInfo, index)) ?? 'BINARY',
        isIn: sqlite.c.sqlite3_vtab_in(indexInfo, index, -1) !== 0,
      }
    })
  }

  #open(table: number, out: number): number {
    return this.#guarded(() => {
      const at = this.#sqlite.allocate(cursorBytes)
      this.#sqlite.view().setUint32(out, at, true)
      this.#scans.set(at, { layout: this.#layout(table), rows: undefined, row: undefined })
      return SQLITE.OK
    })
  }

  #close(at: number): number {
    return this.#guarded(() => {
      const scan = this.#scan(at)
      this.#scans.delete(at)
      this.#free(at)
      endRows(scan)
      return SQLITE.OK
    })
  }

  #free(pointer: number): number {
    this.#sqlite.c.sqlite3_free(pointer)
    return SQLITE.OK
  }

  #scan(at: number): Scan {
    return this.#scans.get(at) as Scan
  }

  #filter(at: number, planIndex: number, argc: number, argv: number): number {
    const scan = this.#scan(at)
    return this.#guarded(() => {
      endRows(scan)
      const chosen = this.plans[planIndex] as Plan
      const { table } = chosen.layout
      if (chosen.isRequiredMissing) throw requiredMissing(table)
      if (chosen.isUserMissing && isRoot) {
        this.host?.context.warn(
          `The ${table.name} table returns data based on the current user by default, consider JOINing against the users table`,
        )
      }
      const asked = ask(chosen, this.#arguments(chosen, argc, argv))
      if (asked.isEmpty) return SQLITE.OK
      scan.rows = argc === 0 ? this.#repeatable(planIndex, chosen) : this.#read(chosen, asked)
      return this.#next(at)
    }, scan)
  }

  #arguments(chosen: Plan, argc: number, argv: number): (readonly ReturnType<typeof rawValue>[])[] {
    return Array.from({ length: argc }, (_, index) => {
      const value = this.#sqlite.pointerAt(argv + index * 4)
      return chosen.pushed[index]?.isIn ? this.#inValues(value) : [rawValue(this.#sqlite, value)]
    })
  }

  #inValues(value: number): ReturnType<typeof rawValue>[] {
    const sqlite = this.#sqlite
    const out = sqlite.allocate(4)
    try {
      const values = []
      let code = sqlite.c.sqlite3_vtab_in_first(value, out)
      while (code === SQLITE.OK && sqlite.pointerAt(out) !== 0) {
        values.push(rawValue(sqlite, sqlite.pointerAt(out)))
        code = sqlite.c.sqlite3_vtab_in_next(value, out)
      }
      return values
    } finally {
      this.#free(out)
    }
  }

  #read(chosen: Plan, asked: Asked): Iterator<Row> {
    const host = this.host as ScanHost
    const table = chosen.layout.table as Table
    const of = (column: string): readonly Constraint[] => asked.constraints.get(column) ?? []
    const texts = (column: string, operator: ConstraintOperator) =>
      of(column).flatMap((one) => (one.operator === operator ? [String(one.value)] : []))
    const rows = table.read({
      ...host.context,
      isUsed: (column) => chosen.used.has(column),
      equals: (column) => texts(column, '='),
      likes: (column) => texts(column, 'LIKE'),
      constraints: (column) => [...of(column)],
    })
    return rows[Symbol.iterator]()
  }

  // The inner side of a join on columns without index is scanned once per outer row, always with the same outcome.
  *#repeatable(planIndex: number, chosen: Plan): Iterator<Row> {
    const known = this.#repeated.get(planIndex) ?? { scanCount: 0, rows: [], isComplete: false }
    this.#repeated.set(planIndex, known)
    known.scanCount += 1
    if (known.isComplete) return yield* known.rows
    const kept: Row[] | undefined = known.scanCount > 1 ? [] : undefined
    const rows = this.#read(chosen, { constraints: new Map(), isEmpty: false })
    let isEnded = false
    try {
      for (let next = rows.next(); !next.done; next = rows.next()) {
        if (kept !== undefined && kept.length <= repeatedRowsMax) kept.push(next.value)
        yield next.value
      }
      isEnded = true
    } finally {
      if (!isEnded) rows.return?.()
    }
    if (kept !== undefined && kept.length <= repeatedRowsMax) {
      known.rows = kept
      known.isComplete = true
    }
  }

  #next(at: number): number {
    const scan = this.#scan(at)
    return this.#guarded(() => {
      this.host?.tick()
      const next = scan.rows?.next()
      scan.row = next === undefined || next.done === true ? undefined : next.value
      if (scan.row === undefined) scan.rows = undefined
      return SQLITE.OK
    }, scan)
  }

  #column(at: number, context: number, index: number): number {
    const { layout, row } = this.#scan(at)
    return this.#guarded(() => {
      const column = layout.columns[index]
      if (column === undefined) return SQLITE.ERROR
      resultOf(this.#sqlite, context, column.spec.type, row?.[column.key])
      return SQLITE.OK
    })
  }

  // SQLite joins the branches of an OR by row id, across scans: a row must have the same id in each of them.
  #rowid(at: number, out: number): number {
    const { row } = this.#scan(at)
    return this.#guarded(() => {
      this.#sqlite.view().setBigInt64(out, contentId(row ?? {}), true)
      return SQLITE.OK
    })
  }

  #guarded(work: () => number, scan?: Scan): number {
    try {
      return work()
    } catch (error) {
      if (scan !== undefined) {
        scan.row = undefined
        scan.rows = undefined
      }
      this.host?.fail(error, scan?.layout.table.name ?? '')
      return SQLITE.ERROR
    }
  }
}

function requiredMissing({ name, columns }: TableSpec): AppError {
  const required = Object.keys(columns).filter((column) => columns[column]?.required)
  return new AppError('QUERY_INVALID', `Table ${name} was queried without a required column in the WHERE clause`, {
    hint: `add a condition on ${required.join(' or ')}`,
  })
}

function endRows(scan: Scan): void {
  const { rows } = scan
  scan.rows = undefined
  scan.row = undefined
  // Lets a generator close what it opened.
  rows?.return?.()
}
