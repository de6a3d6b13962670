import { expect, test } from 'vitest'
import { createTableText } from './create-table.ts'

test('the text is the one of osquery: hidden columns, aliases, key of index and additional columns', () => {
  const table = {
    name: 't',
    about: '',
    origin: 'tidegate',
    examples: [],
    columns: {
      pid: { type: 'BIGINT', index: true },
      big: { type: 'UNSIGNED_BIGINT', aliases: ['large'] },
      ns: { type: 'INTEGER', additional: true, hidden: true },
      id: { type: 'TEXT', collate: 'NOCASE' },
    },
  } as const
  expect(createTableText(table)).toBe(
    'CREATE TABLE t(`pid` BIGINT, `big` UNSIGNED BIGINT, `ns` INTEGER HIDDEN, `id` TEXT COLLATE NOCASE, ' +
      '`large` UNSIGNED BIGINT HIDDEN, PRIMARY KEY (`pid`, `ns`)) WITHOUT ROWID;',
  )
  const plain = { ...table, columns: { a: { type: 'TEXT', additional: true } } } as const
  expect(createTableText(plain)).toBe('CREATE TABLE t(`a` TEXT);')
})
