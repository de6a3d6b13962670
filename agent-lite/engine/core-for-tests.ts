// A core over tables made in a test, and what their readers were asked for. Only tests import this.
import type { Cell } from '../../protocol/cells.ts'
import type { ColumnSpec } from '../../protocol/tables.ts'
import { localFacts } from '../facts.ts'
import { Device } from '../sources/device.ts'
import type { Constraint, SqlValue, Table } from '../tables/define.ts'
import { Core } from './core.ts'
import { defaultLimits, type CoreQuery, type QueryResult } from './query.ts'

type Row = Record<string, SqlValue | undefined>

/** What one scan was asked for: constraints by column, and the columns in use. */
export interface Ask {
  constraints: Record<string, Constraint[]>
  used: string[]
}

export interface TestTable extends Table {
  asks: Ask[]
  /** Rows that SQLite took from the reader. */
  yieldedCount: number
}

export function testTable(
  name: string,
  columns: Record<string, ColumnSpec>,
  rows: Row[] | ((context: Parameters<Table['read']>[0]) => Iterable<Row>),
  more: Partial<Table> = {},
): TestTable {
  const table: TestTable = {
    name,
    about: 'for a test',
    origin: 'tidegate',
    examples: [],
    columns,
    asks: [],
    yieldedCount: 0,
    *read(context) {
      const names = Object.keys(columns)
      const asked = names.map((column) => [column, context.constraints(column)] as const)
      table.asks.push({
        constraints: Object.fromEntries(asked.filter(([, constraints]) => constraints.length > 0)),
        used: names.filter((column) => context.isUsed(column)),
      })
      for (const row of typeof rows === 'function' ? rows(context) : rows) {
        table.yieldedCount += 1
        yield row
      }
    },
    ...more,
  }
  return table
}

export interface TestCore {
  core: Core
  query(sql: string, options?: Partial<CoreQuery>): QueryResult
  /** Only the rows. */
  rows(sql: string): Cell[][]
  /** Code and message of the error that the statement ends with. */
  error(sql: string, options?: Partial<CoreQuery>): string
}

export async function testCore(
  tables: readonly Table[],
  options: { nowMs?: () => number; memoryMaxBytes?: number; root?: string } = {},
): Promise<TestCore> {
  const { root = '/', memoryMaxBytes = 64 * 1_048_576, ...rest } = options
  const core = await Core.open({ tables, device: new Device(root), memoryMaxBytes, ...rest })
  const query = (sql: string, more: Partial<CoreQuery> = {}): QueryResult => {
    const rows: Cell[][] = []
    const outcome = core.run(sql, {
      ...defaultLimits,
      facts: localFacts(),
      isCancelled: () => false,
      onRows: (some) => rows.push(...some),
      ...more,
    })
    return { ...outcome, rows }
  }
  return {
    core,
    query,
    rows: (sql) => query(sql).rows,
    error(sql, more) {
      try {
        query(sql, more)
      } catch (error) {
        const { code, message } = error as { code?: string; message: string }
        return `${code}: ${message}`
      }
      return 'no error'
    },
  }
}
