// Digests of files, read in pieces. The last results are kept while a file stays the same, as osquery does: a join may ask
// for one file once per process that runs it.
import { createHash } from 'node:crypto'
import { closeSync, constants, fstatSync, openSync, readSync, type BigIntStats } from 'node:fs'
import { SourceError, type Device } from './device.ts'

export type Algorithm = 'md5' | 'sha1' | 'sha256'

const pieceBytes = 256 * 1024
/** osquery's hash_cache_max. */
const maxCachedFiles = 500

interface CachedFile {
  version: string
  digests: Map<Algorithm, string>
}

const cache = new Map<string, CachedFile>()

/**
 * Digests in hexadecimal of a regular file; undefined when there is none. Throws SourceError when it cannot be read, and
 * whatever `checkpoint`, called once per piece, throws.
 */
export function fileDigests(
  device: Device,
  path: string,
  algorithms: readonly Algorithm[],
  checkpoint: () => void,
): Map<Algorithm, string> | undefined {
  const real = device.real(path)
  const file = attempt(path, () => openIfPresent(real))
  if (file === undefined) return undefined
  try {
    const before = attempt(path, () => fstatSync(file, { bigint: true }))
    if (!before.isFile()) return undefined
    const cached = cache.get(real)
    const known = cached?.version === versionOf(before) ? cached.digests : new Map<Algorithm, string>()
    const missing = algorithms.filter((algorithm) => !known.has(algorithm))
    if (missing.length > 0) {
      for (const [algorithm, hex] of digest(path, file, missing, checkpoint)) known.set(algorithm, hex)
      const after = attempt(path, () => fstatSync(file, { bigint: true }))
      if (versionOf(after) !== versionOf(before)) return known
    }
    remember(real, { version: versionOf(before), digests: known })
    return known
  } finally {
    closeSync(file)
  }
}

function openIfPresent(real: string): number | undefined {
  try {
    // Not to hang on a FIFO that has just taken the file's place.
    return openSync(real, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw error
  }
}

function* digest(
  path: string,
  file: number,
  algorithms: readonly Algorithm[],
  checkpoint: () => void,
): Generator<[Algorithm, string]> {
  const hashes = algorithms.map((algorithm) => [algorithm, createHash(algorithm)] as const)
  const piece = Buffer.allocUnsafe(pieceBytes)
  for (;;) {
    checkpoint()
    const count = attempt(path, () => readSync(file, piece, 0, pieceBytes, null))
    if (count === 0) break
    for (const [, hash] of hashes) hash.update(piece.subarray(0, count))
  }
  for (const [algorithm, hash] of hashes) yield [algorithm, hash.digest('hex')]
}

/** Changes whenever the content does: ctime cannot be set back. */
function versionOf(stats: BigIntStats): string {
  return [stats.dev, stats.ino, stats.size, stats.mtimeNs, stats.ctimeNs].join(':')
}

function remember(real: string, file: CachedFile): void {
  cache.delete(real)
  cache.set(real, file)
  const [oldest] = cache.keys()
  if (cache.size > maxCachedFiles && oldest !== undefined) cache.delete(oldest)
}

function attempt<T>(path: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw new SourceError(path, (error as NodeJS.ErrnoException).code ?? 'UNKNOWN', error)
  }
}
