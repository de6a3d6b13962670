// How a table's columns lie in SQLite: the spec's columns in their order, then every alias as a hidden column that
// reads and constrains its target. One layout per table, made once.
import type { ColumnSpec, TableSpec } from '../../protocol/tables.ts'

export interface LaidOutColumn {
  /** Name in SQL: the column's own, or its alias. */
  name: string
  /** Name in the rows that the reader yields. */
  key: string
  spec: ColumnSpec
  isHidden: boolean
}

export interface Layout {
  table: TableSpec
  columns: readonly LaidOutColumn[]
  hasRequired: boolean
}

export function layOut(table: TableSpec): Layout {
  const entries = Object.entries(table.columns)
  return {
    table,
    columns: [
      ...entries.map(([name, spec]) => ({ name, key: name, spec, isHidden: spec.hidden === true })),
      ...entries.flatMap(([key, spec]) => (spec.aliases ?? []).map((name) => ({ name, key, spec, isHidden: true }))),
    ],
    hasRequired: entries.some(([, spec]) => spec.required),
  }
}

/** What sqlite3_declare_vtab is given. No primary key: rows have no key that is always unique, and SQLite would believe one. */
export function declaration({ columns }: Layout): string {
  const lines = columns.map(({ name, spec, isHidden }) => {
    const collation = spec.collate === undefined ? '' : ` COLLATE ${spec.collate}`
    return `"${name}" ${sqlType(spec)}${isHidden ? ' HIDDEN' : ''}${collation}`
  })
  return `CREATE TABLE x(${lines.join(', ')})`
}

/** The type as osquery's CREATE TABLE writes it. */
export function sqlType(spec: ColumnSpec): string {
  return spec.type.replace('_', ' ')
}
