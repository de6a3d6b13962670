// tidegate-agent tables: the names of all tables.
import { Command } from 'commander'
import { print } from '../output/print.ts'
import { tables } from '../tables/all.ts'

export function tablesCommand(): Command {
  return new Command('tables')
    .description('List the tables of this agent.')
    .option('--json', 'an array of name, description and origin')
    .action(async (flags: { json?: true }) => {
      const list = tables.map(({ name, about, origin }) => ({ name, about, origin }))
      await print(flags.json ? `${JSON.stringify(list, null, 2)}\n` : list.map(({ name }) => `${name}\n`).join(''))
    })
}
