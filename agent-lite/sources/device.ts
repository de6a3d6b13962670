// The machine as tables see it: files under a root, and the clock. Tests hand in a captured tree in place of '/'.
// "Not there" and "not readable" stay apart: only the former may read as "no rows".
import * as fs from 'node:fs'
import { join } from 'node:path'

/** A source that exists but could not be read, with the path and the system's reason. */
export class SourceError extends Error {
  readonly path: string
  readonly code: string

  constructor(path: string, code: string, cause: unknown) {
    super(`cannot read ${path}: ${explain(code)}`, { cause })
    this.name = 'SourceError'
    this.path = path
    this.code = code
  }
}

export class Device {
  readonly root: string
  readonly nowMs: () => number

  constructor(root = '/', nowMs: () => number = Date.now) {
    this.root = root
    this.nowMs = nowMs
  }

  /** Where a path of the device lies on this file system. */
  real(path: string): string {
    return this.root === '/' ? path : join(this.root, path)
  }

  /** The file as UTF-8. Throws SourceError when it is missing or unreadable. */
  text(path: string): string {
    return attempt(path, () => fs.readFileSync(this.real(path), 'utf8'))
  }

  bytes(path: string): Uint8Array {
    return attempt(path, () => fs.readFileSync(this.real(path)))
  }

  /** The file as UTF-8, or undefined when there is no such file or device behind it. Throws when it may not be read. */
  textIfPresent(path: string): string | undefined {
    return ifPresent(() => this.text(path))
  }

  bytesIfPresent(path: string): Uint8Array | undefined {
    return ifPresent(() => this.bytes(path))
  }

  /** Names in a folder, sorted; empty when the folder does not exist. Throws when it may not be read. */
  names(path: string): string[] {
    return ifPresent(() => attempt(path, () => fs.readdirSync(this.real(path)).sort())) ?? []
  }

  stat(path: string): fs.BigIntStats | undefined {
    return ifPresent(() => attempt(path, () => fs.statSync(this.real(path), { bigint: true })))
  }

  lstat(path: string): fs.BigIntStats | undefined {
    return ifPresent(() => attempt(path, () => fs.lstatSync(this.real(path), { bigint: true })))
  }

  statfs(path: string): fs.BigIntStatsFs | undefined {
    return ifPresent(() => attempt(path, () => fs.statfsSync(this.real(path), { bigint: true })))
  }

  /** Where a symbolic link points, as written in it; undefined when it does not exist. */
  linkTarget(path: string): string | undefined {
    return ifPresent(() => attempt(path, () => fs.readlinkSync(this.real(path))))
  }
}

// ENODEV, ENXIO, EINVAL: sysfs and procfs answer so for an attribute that this hardware does not have.
const absent = new Set(['ENOENT', 'ENOTDIR', 'ESRCH', 'ENODEV', 'ENXIO', 'EINVAL', 'EOPNOTSUPP'])

function attempt<T>(path: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw new SourceError(path, (error as NodeJS.ErrnoException).code ?? 'UNKNOWN', error)
  }
}

function ifPresent<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof SourceError && absent.has(error.code)) return undefined
    throw error
  }
}

function explain(code: string): string {
  if (code === 'ENOENT') return 'no such file'
  if (code === 'EACCES' || code === 'EPERM') return 'permission denied (root may be allowed to)'
  return code
}
