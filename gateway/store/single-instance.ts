// One gateway per data folder. The lock is a held SQLite write lock, which the operating system drops with the process,
// however it ends: there is no stale lock file to remove after a power cut.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { AppError } from '../../lib/errors.ts'
import { storageError } from '../../lib/sqlite/open.ts'

/** Holds the folder until release() or the end of the process. Throws AppError ALREADY_RUNNING or STORE_UNUSABLE. */
export function lockDataDir(dataDir: string): { release(): void } {
  const path = join(dataDir, 'lock.db')
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 })
    const database = new Database(path, { timeout: 0 })
    database.exec('BEGIN EXCLUSIVE')
    return { release: () => void database.close() }
  } catch (error) {
    if (!String((error as { code?: unknown }).code).startsWith('SQLITE_BUSY')) throw storageError(path, error)
    throw new AppError('ALREADY_RUNNING', `another gateway uses ${dataDir}`, {
      exit: 'storage',
      hint: 'stop it first, or give this one a dataDir of its own',
    })
  }
}
