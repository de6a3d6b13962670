// A table's columns as osqueryi's .schema writes them. For people only: SQLite gets the declaration of engine/layout.ts.
import type { TableSpec } from '../../protocol/tables.ts'
import { layOut, sqlType } from '../engine/layout.ts'

/** "CREATE TABLE hosts(`address` TEXT, …);" with the columns that a lookup is cheap by as its primary key. */
export function createTableText(table: TableSpec): string {
  const { columns } = layOut(table)
  const parts = columns.map(({ name, spec, isHidden }) => {
    const collation = spec.collate === undefined ? '' : ` COLLATE ${spec.collate}`
    return `\`${name}\` ${sqlType(spec)}${isHidden ? ' HIDDEN' : ''}${collation}`
  })
  const own = Object.entries(table.columns)
  const hasIndex = own.some(([, spec]) => spec.index)
  const keys = own.filter(([, spec]) => spec.index || spec.additional).map(([name]) => `\`${name}\``)
  if (hasIndex) parts.push(`PRIMARY KEY (${keys.join(', ')})`)
  return `CREATE TABLE ${table.name}(${parts.join(', ')})${hasIndex ? ' WITHOUT ROWID' : ''};`
}
