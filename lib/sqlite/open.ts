// The one place that opens SQLite databases. Durable by default: WAL with synchronous=FULL, asserted, because
// better-sqlite3 compiles WAL to NORMAL, where a COMMIT can vanish at a power cut.
import Database from 'better-sqlite3'
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { AppError } from '../errors.ts'

export type { Database }

export interface OpenOptions {
  /** Folder of numbered files `0001_name.sql`, applied once each, in order. */
  migrations: string
  /** How long a statement waits for another connection's write. */
  busyTimeoutMs?: number
  pageCacheKib?: number
}

/** Opens (or makes) a database for reading and writing and brings it up to date. Throws AppError, exit `storage`. */
export function openDatabase(path: string, options: OpenOptions): Database.Database {
  const isNew = !existsSync(path)
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    const database = new Database(path)
    database.pragma('journal_mode = WAL')
    database.pragma('synchronous = FULL')
    database.pragma('foreign_keys = ON')
    database.pragma('wal_autocheckpoint = 1000')
    database.pragma(`busy_timeout = ${options.busyTimeoutMs ?? 10_000}`)
    database.pragma(`cache_size = -${options.pageCacheKib ?? 4096}`)
    database.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get()
    if (
      database.pragma('synchronous', { simple: true }) !== 2 ||
      database.pragma('journal_mode', { simple: true }) !== 'wal'
    ) {
      throw new AppError('STORE_NOT_DURABLE', `${path}: SQLite did not accept WAL with synchronous=FULL`, {
        exit: 'storage',
      })
    }
    migrate(database, path, options.migrations)
    if (isNew) syncFolder(dirname(path))
    return database
  } catch (error) {
    throw storageError(path, error)
  }
}

/** Opens an existing database for reading only; other connections may write meanwhile. */
export function openReadOnly(path: string): Database.Database {
  try {
    const database = new Database(path, { readonly: true, fileMustExist: true })
    database.pragma('busy_timeout = 10000')
    return database
  } catch (error) {
    throw storageError(path, error)
  }
}

/** Turns SQLite's errors into one that says which file, what state, and how to mend it. */
export function storageError(path: string, error: unknown): AppError {
  if (error instanceof AppError) return error
  const code = (error as { code?: string }).code ?? 'UNKNOWN'
  const message = error instanceof Error ? error.message : String(error)
  const hint = code.startsWith('SQLITE_FULL')
    ? 'free space on this file system'
    : code.startsWith('SQLITE_READONLY') || code === 'EROFS' || code === 'EACCES' || code === 'SQLITE_CANTOPEN'
      ? `check that ${dirname(path)} exists and that this user may write there`
      : code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB'
        ? 'move the file aside and restore a backup'
        : undefined
  return new AppError('STORE_UNUSABLE', `cannot use ${path}: ${message} (${code})`, {
    exit: 'storage',
    cause: error,
    ...(hint === undefined ? {} : { hint }),
  })
}

function migrate(database: Database.Database, path: string, folder: string): void {
  const files = readdirSync(folder)
    .filter((name) => /^\d{4}_[a-z0-9_-]+\.sql$/.test(name))
    .sort()
  const current = Number(database.pragma('user_version', { simple: true }))
  if (current > files.length) {
    throw new AppError(
      'STORE_TOO_NEW',
      `${path} was written by a newer tidegate (schema ${current}, this one knows ${files.length})`,
      {
        exit: 'storage',
        hint: 'install that version again, or restore a backup made by this one',
      },
    )
  }
  for (const [index, name] of files.entries()) {
    if (index < current) continue
    const sql = readFileSync(join(folder, name), 'utf8')
    database.transaction(() => {
      database.exec(sql)
      database.pragma(`user_version = ${index + 1}`)
    })()
  }
}

function syncFolder(path: string): void {
  const handle = openSync(path, 'r')
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}
