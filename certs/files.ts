// Files of a PKI directory: written whole or not at all, synced before they are named, private keys 0600 and never opened for overwriting.
// A folder that belongs together (certificate and key) is made beside its place and renamed into it. Replacing one needs two renames,
// so a power cut can leave only the old one, set aside: readableFolder finds it there, recoverFolder puts it back.
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { AppError } from '../lib/errors.ts'

export interface NewFile {
  data: string | Buffer
  /** Private keys: 0o600. */
  secret?: boolean
}

/** Largest file that certs/ reads: CRLs of a big site fit many times over, and a device file by mistake does not fill the memory. */
export const maxFileBytes = 16 * 1024 * 1024

export function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).code === code
}

/** Reads a file of at most `maxFileBytes`; throws FILE_MISSING, FILE_UNREADABLE or FILE_TOO_LARGE. */
export async function readBounded(path: string, hint?: string): Promise<Buffer> {
  let file
  try {
    file = await open(path, 'r')
    const { size } = await file.stat()
    if (size > maxFileBytes) {
      throw new AppError(
        'FILE_TOO_LARGE',
        `${path} has ${size} bytes; certificate files have at most ${maxFileBytes}`,
        {
          exit: 'certificate',
        },
      )
    }
    return await file.readFile()
  } catch (error) {
    if (error instanceof AppError) throw error
    const missing = isErrno(error, 'ENOENT') || isErrno(error, 'ENOTDIR')
    throw new AppError(
      missing ? 'FILE_MISSING' : 'FILE_UNREADABLE',
      missing ? `${path} is not there` : `cannot read ${path}: ${(error as Error).message}`,
      {
        exit: 'certificate',
        cause: error,
        ...(hint === undefined ? {} : { hint }),
      },
    )
  } finally {
    await file?.close()
  }
}

async function writeNew(path: string, { data, secret = false }: NewFile): Promise<void> {
  const file = await open(path, 'wx', secret ? 0o600 : 0o644)
  try {
    await file.writeFile(data)
    await file.sync()
  } finally {
    await file.close()
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/** Replaces one file: written beside it, synced, renamed over it. */
export async function replaceFile(path: string, file: NewFile): Promise<void> {
  const temporary = stagedNameOf(path)
  try {
    await rm(temporary, { force: true }) // of a process that was killed
    await writeNew(temporary, file)
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
  await syncFolder(dirname(path))
}

/** Creates a file that must not exist yet, or replaces it when told to; throws ALREADY_EXISTS. */
export async function writeOut(path: string, file: NewFile, { force = false } = {}): Promise<void> {
  if (force) return replaceFile(path, file)
  try {
    await writeNew(path, file)
  } catch (error) {
    if (isErrno(error, 'EEXIST')) throw alreadyExists(path)
    await rm(path, { force: true })
    throw error
  }
}

export function alreadyExists(path: string): AppError {
  return new AppError('ALREADY_EXISTS', `${path} is already there, and may hold the only copy of a private key`, {
    hint: 'choose another name, or repeat the command with --force to replace it',
    exit: 'certificate',
  })
}

export type Replacing = 'refuse' | 'discard-old' | 'keep-old'

/**
 * Puts a folder with these files at `target`, whole or not at all; the caller holds the lock of the CA.
 * `keep-old` leaves what was there beside it as `<name>.replaced-<time>`: the key of a CA cannot be made again.
 */
export async function publishFolder(
  target: string,
  files: Record<string, NewFile>,
  replacing: Replacing,
  nowMs: number,
): Promise<void> {
  const parent = dirname(target)
  await mkdir(parent, { recursive: true, mode: 0o700 })
  await finishReplacement(target, replacing, nowMs)
  if (replacing === 'refuse' && existsSync(target)) throw alreadyExists(target)

  const staged = stagedNameOf(target)
  try {
    await mkdir(staged, { mode: 0o700 })
    for (const [name, file] of Object.entries(files)) {
      await mkdir(dirname(join(staged, name)), { recursive: true, mode: 0o700 })
      await writeNew(join(staged, name), file)
    }
    const folders = new Set(Object.keys(files).flatMap((name) => foldersOf(join(staged, name), staged)))
    for (const folder of folders) await syncFolder(folder)
    if (existsSync(target)) await rename(target, setAsideNameOf(target))
    await rename(staged, target)
    await syncFolder(parent)
  } finally {
    await finishReplacement(target, replacing, nowMs)
  }
}

/** The folders from that of a file up to `top`. */
function foldersOf(path: string, top: string): string[] {
  const folder = dirname(path)
  return folder === top ? [top] : [folder, ...foldersOf(folder, top)]
}

const stagedNameOf = (target: string) => join(dirname(target), `.${basename(target)}.new`)
const setAsideNameOf = (target: string) => join(dirname(target), `.${basename(target)}.old`)

/** Where the folder can be read: its own place, or, after a power cut in the middle of replacing it, where the old one was set aside. */
export function readableFolder(target: string): string {
  return !existsSync(target) && existsSync(setAsideNameOf(target)) ? setAsideNameOf(target) : target
}

/**
 * Ends an interrupted publishFolder, under the same lock: an old folder that nothing replaced goes back to its place, one that was
 * replaced goes where `replacing` says, half-made ones go.
 */
export async function finishReplacement(target: string, replacing: Replacing, nowMs: number): Promise<void> {
  const old = setAsideNameOf(target)
  if (existsSync(old)) {
    const stamp = new Date(nowMs).toISOString().replaceAll(/[-:]|\.\d+/g, '')
    if (!existsSync(target)) await rename(old, target)
    else if (replacing === 'discard-old') await rm(old, { recursive: true, force: true })
    else if (replacing === 'keep-old')
      await rename(old, `${target}.replaced-${stamp}-${randomBytes(2).toString('hex')}`)
  }
  await rm(stagedNameOf(target), { recursive: true, force: true })
}

/** finishReplacement for whoever finds a folder missing; `lockFolder` is the one under whose lock it is replaced. */
export async function recoverFolder(target: string, lockFolder: string): Promise<void> {
  if (readableFolder(target) !== target)
    await withLock(lockFolder, () => finishReplacement(target, 'refuse', Date.now()))
}

const lockWaitMs = 10_000
const lockRetryMs = 20
const queues = new Map<string, Promise<unknown>>()

/**
 * Runs `work` while nobody else, in this process or another, changes the folder. Waits up to 10 s for another process, then throws
 * PKI_BUSY. A lock whose process is gone (power cut) is taken over.
 */
export async function withLock<T>(folder: string, work: () => Promise<T>): Promise<T> {
  const before = queues.get(folder) ?? Promise.resolve()
  const turn = before.then(() => holdLockFile(folder, work))
  const settled = turn.catch(() => undefined)
  queues.set(folder, settled)
  try {
    return await turn
  } finally {
    if (queues.get(folder) === settled) queues.delete(folder)
  }
}

async function holdLockFile<T>(folder: string, work: () => Promise<T>): Promise<T> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const path = join(folder, '.lock')
  const giveUpAt = performance.now() + lockWaitMs
  while (!(await takeLock(path))) {
    const owner = await readFile(path, 'utf8').catch(() => undefined)
    if (owner === undefined) continue
    if (isAbandoned(owner)) {
      await takeAway(path, owner)
      continue
    }
    if (performance.now() > giveUpAt) {
      throw new AppError(
        'PKI_BUSY',
        `${folder} has been locked by process ${owner.split(' ')[0]} for more than ${lockWaitMs / 1000} s`,
        {
          hint: `wait until that process has ended; if it has nothing to do with tidegate, remove ${path}`,
          exit: 'certificate',
        },
      )
    }
    await new Promise((resolve) => setTimeout(resolve, lockRetryMs))
  }
  try {
    return await work()
  } finally {
    await rm(path, { force: true })
  }
}

async function takeLock(path: string): Promise<boolean> {
  try {
    await writeFile(path, `${process.pid} ${bootId()}`, { flag: 'wx', mode: 0o600 })
    return true
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return false
    throw error
  }
}

/** A pid says nothing about an earlier boot, where another process had it; so the lock names its boot as well (Linux, proc(5)). */
function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return 'unknown'
  }
}

function isAbandoned(owner: string): boolean {
  const [pid = '', boot] = owner.split(' ')
  if (boot === undefined) return false // being written at this moment, or cut off by a power cut: a person decides
  if (boot !== bootId()) return true
  try {
    process.kill(Number(pid), 0)
    return false
  } catch (error) {
    return isErrno(error, 'ESRCH')
  }
}

/** Removes an abandoned lock. The rename decides between several who noticed at once; a lock taken meanwhile is put back. */
async function takeAway(path: string, abandoned: string): Promise<void> {
  const aside = `${path}-${randomBytes(6).toString('hex')}`
  try {
    await rename(path, aside)
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return
    throw error
  }
  if ((await readFile(aside, 'utf8')) === abandoned) await rm(aside)
  else await rename(aside, path)
}
