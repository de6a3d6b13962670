// tidegate-agent schema [table]: columns and types of one table or of all.
import { Command } from 'commander'
import { AppError } from '../../lib/errors.ts'
import type { TableSpec } from '../../protocol/tables.ts'
import { createTableText } from '../output/create-table.ts'
import { print } from '../output/print.ts'
import { tables } from '../tables/all.ts'

export function schemaCommand(): Command {
  return new Command('schema')
    .description('Show the columns of a table, or of all tables.')
    .argument('[table]', 'its name or alias')
    .option('--json', 'the whole specification, with the meaning of each column')
    .action(async (name: string | undefined, flags: { json?: true }) => {
      const chosen = name === undefined ? tables : [tableNamed(name)]
      // JSON.stringify leaves the reader out.
      const json = `${JSON.stringify(name === undefined ? chosen : chosen[0], null, 2)}\n`
      await print(flags.json ? json : chosen.map((table) => `${createTableText(table)}\n`).join(''))
    })
}

function tableNamed(name: string): TableSpec {
  const table = tables.find((one) => one.name === name || one.aliases?.includes(name))
  if (table !== undefined) return table
  throw new AppError('TABLE_UNKNOWN', `there is no table '${name}'`, {
    exit: 'usage',
    hint: 'tidegate-agent tables',
  })
}
