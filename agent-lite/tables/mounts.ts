// Mounted file systems, from /proc/mounts, with their sizes from statfs(2). statfs on a dead network mount may block for
// minutes, so it runs only when a size is asked for, and never on autofs, which it would mount. Counts are whole;
// osquery cuts them to 32 bits.
import { followLink } from '../sources/links.ts'
import { orWarn } from '../sources/or-warn.ts'
import { defineTable } from './define.ts'

const sizes = ['blocks_size', 'blocks', 'blocks_free', 'blocks_available', 'inodes', 'inodes_free'] as const

export const mounts = defineTable({
  name: 'mounts',
  about: 'Mounted file systems, their sizes and options.',
  origin: 'osquery',
  columns: {
    device: { type: 'TEXT', about: 'What is mounted, as the mount names it' },
    device_alias: { type: 'TEXT', about: 'The device behind links such as /dev/disk/by-uuid/…' },
    path: { type: 'TEXT', about: 'Where it is mounted' },
    type: { type: 'TEXT', about: 'Type of file system' },
    blocks_size: { type: 'BIGINT', about: 'Bytes in a block' },
    blocks: { type: 'BIGINT', about: 'Blocks in all' },
    blocks_free: { type: 'BIGINT', about: 'Blocks that nothing uses' },
    blocks_available: { type: 'BIGINT', about: 'Free blocks open to users other than root' },
    inodes: { type: 'BIGINT', about: 'Files it can hold' },
    inodes_free: { type: 'BIGINT', about: 'Files it can still take' },
    flags: { type: 'TEXT', about: 'Mount options' },
  },
  examples: ["SELECT path, blocks_available * blocks_size / 1048576 AS free_mib FROM mounts WHERE type = 'ext4'"],
  *read(context) {
    const { device } = context
    const isSizeUsed = sizes.some((column) => context.isUsed(column))
    for (const line of device.text('/proc/mounts').split('\n')) {
      const [name, path, type, flags] = line.split(' ').map(unescape)
      if (name === undefined || path === undefined || type === undefined || flags === undefined) continue
      context.checkpoint()
      const size = isSizeUsed && type !== 'autofs' ? orWarn(context, () => device.statfs(path)) : undefined
      yield {
        device: name,
        device_alias: name.startsWith('/') ? (orWarn(context, () => followLink(device, name)) ?? name) : name,
        path,
        type,
        blocks_size: size?.bsize ?? 0,
        blocks: signed64(size?.blocks),
        blocks_free: signed64(size?.bfree),
        blocks_available: signed64(size?.bavail),
        inodes: signed64(size?.files),
        inodes_free: signed64(size?.ffree),
        flags,
      }
    }
  },
})

/** The kernel writes space, tab, newline, backslash and # as three octal digits. */
function unescape(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
}

function signed64(count: bigint | undefined): bigint {
  return BigInt.asIntN(64, count ?? 0n)
}
