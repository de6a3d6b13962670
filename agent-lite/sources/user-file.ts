// Files in users' home folders, read as root. Their owners may be hostile: a FIFO would block the agent for ever, a link
// to /dev/watchdog would reboot the machine once opened, a link to /etc/shadow would send it to the centre. So the file is
// opened as a path first (O_PATH touches nothing), judged, and only then opened for reading, through the same handle.
import * as fs from 'node:fs'
import { join } from 'node:path'
import { type Device, SourceError } from './device.ts'

const O_PATH = 0o10000000 // Linux on every architecture that Node runs on; Node has no name for it
export const maxUserFileBytes = 1024 * 1024

export interface HomeOwner {
  uid: number
  directory: string
}

/**
 * Text of a file below a user's home folder; undefined when there is none. Throws SourceError when it is no regular
 * file, larger than maxUserFileBytes, or reached through a link and not the user's own.
 */
export function readUserFile(device: Device, { uid, directory }: HomeOwner, name: string): string | undefined {
  const path = join(directory, name)
  let handle: number
  try {
    handle = fs.openSync(device.real(path), O_PATH)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'UNKNOWN'
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw new SourceError(path, code, error)
  }
  const refuse = (reason: string) => new SourceError(path, reason, undefined)
  const throughHandle = `/proc/self/fd/${handle}`
  try {
    const stats = fs.fstatSync(handle)
    if (!stats.isFile()) throw refuse('it is not a regular file')
    if (stats.size > maxUserFileBytes) throw refuse(`it is larger than ${maxUserFileBytes} bytes`)
    const isLinked = fs.readlinkSync(throughHandle) !== join(fs.realpathSync(device.root), path)
    if (isLinked && stats.uid !== uid) throw refuse(`it is a link to a file that user ${uid} does not own`)
    return readStart(throughHandle, stats.size)
  } catch (error) {
    if (error instanceof SourceError) throw error
    throw new SourceError(path, (error as NodeJS.ErrnoException).code ?? 'UNKNOWN', error)
  } finally {
    fs.closeSync(handle)
  }
}

/** No more than the size that was judged, though the file may be growing. */
function readStart(path: string, bytes: number): string {
  const file = fs.openSync(path, 'r')
  try {
    const buffer = Buffer.alloc(bytes)
    let length = 0
    for (let read = -1; read !== 0 && length < bytes; length += read)
      read = fs.readSync(file, buffer, length, bytes - length, null)
    return buffer.toString('utf8', 0, length)
  } finally {
    fs.closeSync(file)
  }
}
