// Symbolic links inside the device's tree. Node's realpath would follow them on the file system of the test instead.
import { posix } from 'node:path'
import type { Device } from './device.ts'

const maxLinks = 40 // as the kernel: more is a loop

/** Where a path leads when it is itself a link, or a link to a link; the path itself when it is none. */
export function followLink(device: Device, path: string): string {
  let at = path
  for (let count = 0; count < maxLinks; count++) {
    if (!device.lstat(at)?.isSymbolicLink()) return at
    const target = device.linkTarget(at)
    if (target === undefined) return at
    at = posix.resolve(posix.dirname(at), target)
  }
  return path
}

/** The last part of where a link points, as the link has it; undefined when there is no such link. */
export function linkName(device: Device, path: string): string | undefined {
  const target = device.linkTarget(path)
  return target === undefined ? undefined : posix.basename(target)
}
