// The few file operations that the outbox is built on, one folder wide. Tests put a disk in its place that fills up,
// tears writes and forgets what was not synced.
import { constants } from 'node:fs'
import { mkdir, open, readdir, readFile, rename, stat, unlink, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'

export interface Disk {
  /** Names and sizes of the files in the folder, or in a folder under it. */
  list(folder?: string): Promise<{ name: string; byteCount: number }[]>
  read(name: string): Promise<Buffer>
  /** The bytes at a place; fewer when the file ends before. */
  readAt(name: string, offset: number, byteCount: number): Promise<Buffer>
  /** Writes at a place, making the file when it is new. Nothing is durable before `sync`. */
  write(name: string, offset: number, bytes: Uint8Array): Promise<void>
  truncate(name: string, byteCount: number): Promise<void>
  /** Makes a file's bytes and length durable. */
  sync(name: string): Promise<void>
  /** Makes the folder's names durable: files made, renamed and removed. */
  syncFolder(): Promise<void>
  /** Over an existing file too. */
  rename(from: string, to: string): Promise<void>
  remove(name: string): Promise<void>
  close(): Promise<void>
}

/** How many files stay open: both that are written, and those that are being read. */
const openFilesMax = 8

/** A folder of the real file system, made with mode 0700 when it is missing. */
export async function openFolder(path: string): Promise<Disk> {
  await mkdir(join(path, 'damaged'), { recursive: true, mode: 0o700 })
  const handles = new Map<string, Promise<FileHandle>>()

  const handleOf = async (name: string): Promise<FileHandle> => {
    const known = handles.get(name)
    if (known !== undefined) return known
    for (const [oldest] of handles) {
      if (handles.size < openFilesMax) break
      await closeOne(oldest)
    }
    const opening = open(join(path, name), constants.O_RDWR | constants.O_CREAT, 0o600)
    handles.set(name, opening)
    opening.catch(() => handles.delete(name))
    return opening
  }
  const closeOne = async (name: string): Promise<void> => {
    const handle = handles.get(name)
    handles.delete(name)
    await (await handle)?.close()
  }

  return {
    async list(folder = '.') {
      const names = await readdir(join(path, folder), { withFileTypes: true })
      return Promise.all(
        names
          .filter((entry) => entry.isFile())
          .map(async ({ name }) => ({ name, byteCount: (await stat(join(path, folder, name))).size })),
      )
    },
    read: (name) => readFile(join(path, name)),
    async readAt(name, offset, byteCount) {
      const buffer = Buffer.alloc(byteCount)
      const { bytesRead } = await (await handleOf(name)).read(buffer, 0, byteCount, offset)
      return buffer.subarray(0, bytesRead)
    },
    async write(name, offset, bytes) {
      const handle = await handleOf(name)
      let done = 0
      while (done < bytes.byteLength) {
        const { bytesWritten } = await handle.write(bytes, done, bytes.byteLength - done, offset + done)
        done += bytesWritten
      }
    },
    truncate: async (name, byteCount) => (await handleOf(name)).truncate(byteCount),
    sync: async (name) => (await handleOf(name)).datasync(),
    async syncFolder() {
      const folder = await open(path, 'r')
      try {
        await folder.sync()
      } finally {
        await folder.close()
      }
    },
    async rename(from, to) {
      await closeOne(from)
      await closeOne(to)
      await rename(join(path, from), join(path, to))
    },
    async remove(name) {
      await closeOne(name)
      await unlink(join(path, name))
    },
    async close() {
      await Promise.all([...handles.keys()].map(closeOne))
    },
  }
}
