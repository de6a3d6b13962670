// The file behind the result log. Its first `sizeBytes` are known to be whole lines; what lies behind them after a
// crash is cut off and written again. A rotated file (another inode, or shorter than it was) starts from nothing.
import { constants } from 'node:fs'
import { mkdir, open, stat, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { AppError } from '../../lib/errors.ts'

export class LogFile {
  readonly path: string
  #handle: FileHandle
  #inode: string
  #size: number

  private constructor(path: string, handle: FileHandle, inode: string, size: number) {
    this.path = path
    this.#handle = handle
    this.#inode = inode
    this.#size = size
  }

  /** Opens or makes the file and cuts it back to `known`. Throws AppError RESULT_LOG_UNUSABLE, exit `storage`. */
  static async open(path: string, known: { inode: string; sizeBytes: number } | undefined): Promise<LogFile> {
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o750 })
      const handle = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_APPEND, 0o640)
      const { ino, size } = await handle.stat()
      const isKnown = known !== undefined && known.inode === String(ino) && size >= known.sizeBytes
      if (isKnown && size > known.sizeBytes) {
        await handle.truncate(known.sizeBytes)
        await handle.sync()
      }
      // Not ours, or rotated in place: what is in it was complete when it was left.
      const end = isKnown ? known.sizeBytes : size
      await syncFolder(dirname(path))
      return new LogFile(path, handle, String(ino), end)
    } catch (error) {
      throw unusable(path, error)
    }
  }

  get inode(): string {
    return this.#inode
  }

  get sizeBytes(): number {
    return this.#size
  }

  /** Follows a rotation: when the path leads to another file, or this one became shorter, goes on there. */
  async followRotation(): Promise<void> {
    try {
      const now = await stat(this.path).catch(() => undefined)
      if (now !== undefined && String(now.ino) === this.#inode && now.size >= this.#size) return
      const next = await LogFile.open(this.path, undefined)
      await this.#handle.close()
      this.#handle = next.#handle
      this.#inode = next.#inode
      this.#size = next.#size
    } catch (error) {
      throw unusable(this.path, error)
    }
  }

  /** Appends without fsync; on failure the file is cut back to where it was. */
  async append(text: string): Promise<void> {
    const bytes = Buffer.from(text)
    try {
      let written = 0
      while (written < bytes.byteLength) {
        written += (await this.#handle.write(bytes, written, bytes.byteLength - written)).bytesWritten
      }
      this.#size += bytes.byteLength
    } catch (error) {
      throw unusable(this.path, error)
    }
  }

  /** After this, what was appended survives a power cut. */
  async sync(): Promise<void> {
    try {
      await this.#handle.datasync()
    } catch (error) {
      throw unusable(this.path, error)
    }
  }

  /** Forgets what was appended after `sizeBytes`. */
  async cutBack(sizeBytes: number): Promise<void> {
    await this.#handle.truncate(sizeBytes)
    this.#size = sizeBytes
  }

  async close(): Promise<void> {
    await this.#handle.close()
  }
}

async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

function unusable(path: string, error: unknown): AppError {
  if (error instanceof AppError) return error
  const code = String((error as NodeJS.ErrnoException).code)
  return new AppError('RESULT_LOG_UNUSABLE', `cannot write the result log ${path}: ${code}`, {
    hint: code === 'ENOSPC' ? 'free space on this file system' : 'check resultLog.path, its owner and permissions',
    exit: 'storage',
    cause: error,
  })
}
