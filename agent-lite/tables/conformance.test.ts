// Every table against its contract: osquery's spec for those that carry osquery's name, and what the agent itself
// promises of all of them. A table that is added to all.ts is checked here without further work.
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { ColumnSpec } from '../../protocol/tables.ts'
import { readTable } from '../../test/support/read-table.ts'
import { tables } from './all.ts'
import type { SqlValue, Table } from './define.ts'

interface OsquerySpec {
  name: string
  columns: ({ name: string } & Omit<ColumnSpec, 'about'>)[]
  aliases?: string[]
  cacheable?: true
  user_data?: true
}

const specs = new Map(
  (
    JSON.parse(
      readFileSync(new URL('../../test/fixtures/osquery-tables-linux.json', import.meta.url), 'utf8'),
    ) as OsquerySpec[]
  ).map((spec) => [spec.name, spec]),
)

/** The table in the form osquery's specs are kept in. */
function asSpec(table: Table): OsquerySpec {
  return {
    name: table.name,
    columns: Object.entries(table.columns).map(([name, { about: _about, ...column }]) => ({
      name,
      ...column,
      ...(column.aliases && { aliases: [...column.aliases] }),
    })),
    ...(table.cacheable && { cacheable: true }),
    ...(table.userData && { user_data: true }),
    ...(table.aliases && { aliases: [...table.aliases] }),
  }
}

function fits(value: SqlValue | undefined, { type }: ColumnSpec): boolean {
  if (value === null || value === undefined) return true
  if (type === 'TEXT') return typeof value === 'string'
  if (type === 'BLOB') return value instanceof Uint8Array
  if (type === 'DOUBLE') return typeof value === 'number' && Number.isFinite(value)
  if (typeof value === 'bigint') return type !== 'INTEGER' && BigInt.asIntN(64, value) === value
  return Number.isSafeInteger(value) && (type !== 'INTEGER' || (value as number) <= 0xffff_ffff)
}

test('lists the tables in alphabetical order, each once', () => {
  const names = tables.map((table) => table.name)
  expect(names).toEqual([...new Set(names)].sort())
})

describe.each(tables.map((table) => [table.name, table] as const))('%s', (name, table) => {
  if (table.origin === 'osquery')
    test("has osquery's columns, order, types and hints", () => {
      const spec = specs.get(name)
      expect(spec, `osquery has no table ${name}`).toBeDefined()
      expect(asSpec(table)).toEqual(spec)
      expect(asSpec(table).columns.map((column) => column.name)).toEqual(spec?.columns.map((column) => column.name))
    })
  else
    test('takes no name that osquery uses', () => {
      expect(specs.has(name)).toBe(false)
    })

  test('says what it is, what each of its own columns is, and how to ask it', () => {
    expect(table.about).toMatch(/\w{3,}/)
    expect(table.examples.length).toBeGreaterThan(0)
    for (const example of table.examples) expect(example).toMatch(new RegExp(`\\b(?:from|join)\\s+${name}\\b`, 'i'))
    const unexplained = Object.entries(table.columns).filter(([, column]) => !column.about && !column.foreign)
    expect(unexplained.map(([column]) => column)).toEqual([])
  })

  if (Object.values(table.columns).every((column) => !column.required))
    test('gives rows of this machine that fit the declared types', () => {
      const { rows } = readTable(table)
      for (const row of rows)
        for (const [column, value] of Object.entries(row)) {
          const spec = table.columns[column]
          expect(spec, `${name} has no column ${column}`).toBeDefined()
          if (spec && !fits(value, spec))
            expect.fail(`${name}.${column} is ${spec.type}, but a row has ${String(value)}`)
        }
    })
})
