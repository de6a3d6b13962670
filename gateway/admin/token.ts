// The bearer token of the local API: made at the first start, readable by the gateway's user only.
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { AppError } from '../../lib/errors.ts'

export function tokenPath(dataDir: string): string {
  return join(dataDir, 'admin.token')
}

/** The token, made when there is none. */
export function ensureToken(dataDir: string): string {
  const path = tokenPath(dataDir)
  try {
    writeFileSync(path, `${randomBytes(24).toString('base64url')}\n`, { mode: 0o600, flag: 'wx' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  return readToken(dataDir)
}

/** Throws AppError TOKEN_UNREADABLE. */
export function readToken(dataDir: string): string {
  const path = tokenPath(dataDir)
  try {
    const token = readFileSync(path, 'utf8').trim()
    if (token.length >= 16) return token
    throw new AppError('TOKEN_UNREADABLE', `${path} holds no token`, {
      exit: 'config',
      hint: 'remove it and start the gateway again: it makes a new one',
    })
  } catch (error) {
    if (error instanceof AppError) throw error
    const code = String((error as NodeJS.ErrnoException).code)
    throw new AppError('TOKEN_UNREADABLE', `cannot read ${path} (${code})`, {
      exit: 'config',
      hint: code === 'ENOENT' ? 'start the gateway once: it makes the token' : "run this as the gateway's user",
      cause: error,
    })
  }
}

/** Compares in a time that tells nothing of where they differ. */
export function isSameToken(left: string, right: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(left), digest(right))
}
