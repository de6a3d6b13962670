// What a table is, as data: its name, its columns and how each may be constrained. The agent attaches a reader to it;
// documentation, `schema` and the check of SQL at the centre need only this.

/** SQL types as osquery's specs write them. Integers are 64 bit unless INTEGER, which osquery cuts to 32 bits. */
export type ColumnType = 'TEXT' | 'INTEGER' | 'BIGINT' | 'UNSIGNED_BIGINT' | 'DOUBLE' | 'BLOB'

export type Collation = 'NOCASE' | 'VERSION' | 'VERSION_ARCH' | 'VERSION_DPKG' | 'VERSION_RHEL'

export interface ColumnSpec {
  type: ColumnType
  /** One line for people; may be left out for columns that only exist on other platforms. */
  about?: string
  /** A lookup by this column is cheap: `=` and IN are handed to the reader. */
  index?: true
  /** A query must constrain this column, or another required one of the same table. */
  required?: true
  /** Handed to the reader when constrained, though not a key. */
  additional?: true
  /** IN (…) reaches the reader as one call with many values. */
  optimized?: true
  /** Left out of SELECT *. */
  hidden?: true
  /** Belongs to another operating system: always NULL here, kept so that shared SQL prepares. */
  foreign?: true
  collate?: Collation
  aliases?: readonly string[]
}

export interface TableSpec {
  name: string
  about: string
  columns: Readonly<Record<string, ColumnSpec>>
  examples: readonly string[]
  aliases?: readonly string[]
  /** Rows may be reused within the interval of a scheduled query. */
  cacheable?: true
  /** Reads other users' files: osquery warns when no user is named. */
  userData?: true
  /** `osquery`: the contract is osquery's spec. `tidegate`: ours, in the same style. */
  origin: 'osquery' | 'tidegate'
}
