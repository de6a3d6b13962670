// Files and folders by path, from stat(2). Follows osquery also where that surprises: a symbolic link shows what it leads to
// (`symlink` and `symlink_target_path` tell), `device` is the device that a node stands for, btime is "0", the name of a
// folder that LIKE found is ".", and one without path or directory fails.
import type { BigIntStats } from 'node:fs'
import { SourceError, type Device } from '../sources/device.ts'
import { pidWithNamespace, warnOfNamespaces } from '../sources/namespace.ts'
import { orWarn } from '../sources/or-warn.ts'
import { askedFiles, fileName, type FoundFile } from '../sources/paths.ts'
import { warnOnce } from '../sources/warn-once.ts'
import { defineTable } from './define.ts'

export const file = defineTable({
  name: 'file',
  about: 'Interactive filesystem attributes and metadata.',
  origin: 'osquery',
  columns: {
    path: { type: 'TEXT', about: 'Absolute path', required: true, index: true, optimized: true },
    directory: { type: 'TEXT', about: 'Folder of the file', required: true, optimized: true },
    filename: { type: 'TEXT', about: 'Last part of the path' },
    inode: { type: 'BIGINT', about: 'Inode number' },
    uid: { type: 'BIGINT', about: 'Owner' },
    gid: { type: 'BIGINT', about: 'Owning group' },
    mode: { type: 'TEXT', about: 'Permission bits, four octal digits' },
    device: { type: 'BIGINT', about: 'Device number of a device node, else 0' },
    size: { type: 'BIGINT', about: 'Size in bytes' },
    block_size: { type: 'INTEGER', about: 'Preferred block size of its file system, in bytes' },
    atime: { type: 'BIGINT', about: 'Last access, unix seconds' },
    mtime: { type: 'BIGINT', about: 'Last change of the content, unix seconds' },
    ctime: { type: 'BIGINT', about: 'Last change of the inode, unix seconds' },
    btime: { type: 'BIGINT', about: 'Creation: always 0 on Linux' },
    hard_links: { type: 'INTEGER', about: 'Number of hard links' },
    symlink: { type: 'INTEGER', about: '1 when the path is a symbolic link, else 0' },
    type: { type: 'TEXT', about: 'regular, directory, block, character, fifo, socket, or unknown (a broken link)' },
    symlink_target_path: { type: 'TEXT', about: 'What the symbolic link says' },
    attributes: { type: 'TEXT', hidden: true, foreign: true },
    volume_serial: { type: 'TEXT', hidden: true, foreign: true },
    file_id: { type: 'TEXT', hidden: true, foreign: true },
    file_version: { type: 'TEXT', hidden: true, collate: 'VERSION', foreign: true },
    product_version: { type: 'TEXT', hidden: true, collate: 'VERSION', foreign: true },
    original_filename: { type: 'TEXT', hidden: true, foreign: true },
    shortcut_target_path: { type: 'TEXT', hidden: true, foreign: true },
    shortcut_target_type: { type: 'TEXT', hidden: true, foreign: true },
    shortcut_target_location: { type: 'TEXT', hidden: true, foreign: true },
    shortcut_start_in: { type: 'TEXT', hidden: true, foreign: true },
    shortcut_run: { type: 'TEXT', hidden: true, foreign: true },
    shortcut_comment: { type: 'TEXT', hidden: true, foreign: true },
    bsd_flags: { type: 'TEXT', hidden: true, foreign: true },
    pid_with_namespace: pidWithNamespace,
    mount_namespace_id: { type: 'TEXT', about: 'Mount namespace that was read: NULL, the host itself', hidden: true },
  },
  examples: [
    "SELECT path, mode, mtime FROM file WHERE path LIKE '/etc/ssh/%'",
    "SELECT path, size FROM file WHERE path LIKE '/var/log/%%' AND size > 100000000",
  ],
  *read(context) {
    warnOfNamespaces(context)
    const refused = warnOnce(context)
    for (const found of askedFiles(context)) {
      const row = orWarn(refused, () => attributes(context.device, found))
      if (row) yield row
    }
  },
})

function attributes(device: Device, { path, directory }: FoundFile) {
  const link = device.lstat(path)
  if (link === undefined) return undefined
  const target = link.isSymbolicLink() ? follow(device, path) : link
  const stats = typeof target === 'string' ? link : target
  return {
    path,
    directory,
    filename: fileName(path),
    inode: stats.ino,
    uid: stats.uid,
    gid: stats.gid,
    mode: (stats.mode & 0o7777n).toString(8).padStart(4, '0'),
    device: stats.rdev,
    size: stats.size,
    block_size: Number(stats.blksize),
    atime: seconds(stats.atimeNs),
    mtime: seconds(stats.mtimeNs),
    ctime: seconds(stats.ctimeNs),
    btime: 0,
    hard_links: Number(stats.nlink),
    symlink: link.isSymbolicLink() ? 1 : 0,
    type: typeof target === 'string' ? target : typeOf(target),
    symlink_target_path: link.isSymbolicLink() ? device.linkTarget(path) : null,
    pid_with_namespace: 0,
  }
}

/** What a symbolic link leads to; osquery's word for the type when it leads nowhere (unknown) or in a circle (error). */
function follow(device: Device, path: string): BigIntStats | 'unknown' | 'error' {
  try {
    return device.stat(path) ?? 'unknown'
  } catch (error) {
    if (error instanceof SourceError) return 'error'
    throw error
  }
}

function typeOf(stats: BigIntStats): string {
  if (stats.isFile()) return 'regular'
  if (stats.isDirectory()) return 'directory'
  if (stats.isSymbolicLink()) return 'symlink'
  if (stats.isBlockDevice()) return 'block'
  if (stats.isCharacterDevice()) return 'character'
  if (stats.isFIFO()) return 'fifo'
  if (stats.isSocket()) return 'socket'
  return 'unknown'
}

/** Whole seconds, rounded down also before 1970. */
function seconds(nanoseconds: bigint): bigint {
  const perSecond = 1_000_000_000n
  return (nanoseconds - BigInt.asUintN(64, ((nanoseconds % perSecond) + perSecond) % perSecond)) / perSecond
}
