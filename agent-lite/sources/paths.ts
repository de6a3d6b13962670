// Which files a query about `path` or `directory` means, in osquery's terms, since SQLite checks each row against the asked
// text again. LIKE is a glob: % matches within one folder and never a leading dot, _ is an underscore, a trailing %%
// reaches everything below. A symbolic link to a folder is followed; a folder that was walked once is not walked again.
import type { Device } from './device.ts'
import { orWarn } from './or-warn.ts'
import { warnOnce } from './warn-once.ts'

/** osquery's kMaxRecursiveGlobs: levels that %% reaches down, counting its own. */
const maxDepth = 63

interface Scan {
  device: Device
  warn(message: string): void
  checkpoint(): void
}

type PathColumn = 'path' | 'directory'

/** The part of a reader's context that tells which files a query asks for. */
export interface AskedFiles extends Scan {
  equals(column: PathColumn): string[]
  likes(column: PathColumn): string[]
  constraints(column: PathColumn): { operator: string }[]
}

export interface FoundFile {
  path: string
  /** As it was asked for, when it was. */
  directory: string
}

/**
 * The files that a query names by `path`, and the entries of folders that it names by `directory`, each once. A folder
 * that LIKE finds ends in "/". A path given by = need not exist. What may not be read costs one warning per scan.
 */
export function* askedFiles(context: AskedFiles): Generator<FoundFile> {
  const scan = { device: context.device, warn: warnOnce(context).warn, checkpoint: () => context.checkpoint() }
  const columns = ['path', 'directory'] as const
  if (columns.every((column) => context.equals(column).length + context.likes(column).length === 0))
    context.warn('only = and LIKE on path or directory find files')
  const isBoth = context.constraints('path').length > 0 && context.constraints('directory').length > 0
  const seen = new Set<string>()
  for (const path of askedPaths(context, scan, 'path')) {
    context.checkpoint()
    if (isBoth) seen.add(path)
    yield { path, directory: parentPath(path) }
  }
  for (const directory of askedPaths(context, scan, 'directory'))
    for (const path of entryPaths(scan, directory)) {
      context.checkpoint()
      if (!seen.has(path) || directory !== parentPath(path)) yield { path, directory }
    }
}

function* askedPaths(context: AskedFiles, scan: Scan, column: PathColumn): Generator<string> {
  const seen = new Set(context.equals(column).filter((path) => path !== ''))
  yield* seen
  const patterns = context.likes(column)
  for (const pattern of patterns)
    for (const path of pathsLike(scan, pattern)) {
      if (seen.has(path)) continue
      if (patterns.length > 1) seen.add(path)
      yield path
    }
}

function entryPaths(scan: Scan, folder: string): string[] {
  const prefix = folder.endsWith('/') ? folder : `${folder}/`
  return entryNames(scan, folder).map((name) => prefix + name)
}

function entryNames(scan: Scan, folder: string): string[] {
  const names = orWarn(scan, () => scan.device.names(folder)) ?? []
  const isReadable = (name: string) => !name.includes('\ufffd')
  if (!names.every(isReadable)) scan.warn(`${folder} holds files whose names are not UTF-8`)
  return names.filter(isReadable)
}

/** The folder part of a path, as boost::filesystem's parent_path: "/etc" of "/etc/hosts" and of "/etc/". */
function parentPath(path: string): string {
  const cut = path.lastIndexOf('/')
  let end = cut
  while (end > 0 && path[end - 1] === '/') end--
  if (end > 0) return path.slice(0, end)
  return cut === -1 || cut === path.length - 1 ? '' : '/'
}

/** The last part of a path, as boost::filesystem's filename: "." when it ends in "/". */
export function fileName(path: string): string {
  const name = path.slice(path.lastIndexOf('/') + 1)
  if (name !== '' || path === '') return name
  return parentPath(path) === '' ? '/' : '.'
}

function* pathsLike(scan: Scan, pattern: string): Generator<string> {
  if (pattern === '') return
  if (!pattern.startsWith('/')) {
    scan.warn(`LIKE '${pattern}' finds no files: a pattern of paths must start with /`)
    return
  }
  // As in osquery one character may follow: LIKE then keeps only what ends in it.
  const recursion = pattern.lastIndexOf('%%')
  const isRecursive = recursion !== -1 && recursion + 3 >= pattern.length
  const walked = new Set<string>()
  for (const path of expand(scan, '', pattern)) {
    yield path
    if (isRecursive && path.endsWith('/')) yield* below(scan, path, maxDepth - 1, walked)
  }
}

/** Paths that match `rest`, whose part `done` before it is settled. */
function* expand(scan: Scan, done: string, rest: string): Generator<string> {
  const wild = rest.indexOf('%')
  if (wild === -1) {
    const exists = orWarn(scan, () => scan.device.lstat(done + rest)) !== undefined
    if (exists) yield marked(scan, done + rest)
    return
  }
  const start = rest.lastIndexOf('/', wild) + 1
  const slash = rest.indexOf('/', wild)
  const end = slash === -1 ? rest.length : slash
  const folder = done + rest.slice(0, start)
  const component = rest.slice(start, end)
  for (const path of visibleEntries(scan, folder, component)) {
    if (end === rest.length) yield path
    else if (path.endsWith('/')) yield* expand(scan, path.slice(0, -1), rest.slice(end))
  }
}

function* below(scan: Scan, folder: string, depth: number, walked: Set<string>): Generator<string> {
  if (depth === 0) return
  const link = orWarn(scan, () => scan.device.lstat(folder.slice(0, -1)))
  if (link === undefined) return
  const identity = `${link.dev}:${link.ino}`
  if (walked.has(identity)) return
  walked.add(identity)
  for (const path of visibleEntries(scan, folder, '%')) {
    yield path
    if (path.endsWith('/')) yield* below(scan, path, depth - 1, walked)
  }
}

function* visibleEntries(scan: Scan, folder: string, component: string): Generator<string> {
  for (const name of entryNames(scan, folder)) {
    scan.checkpoint()
    if (matches(name, component)) yield marked(scan, folder + name)
  }
}

/** The path, with "/" at its end when it leads to a folder. */
function marked(scan: Scan, path: string): string {
  if (path.endsWith('/')) return path
  const isFolder = orWarn(scan, () => scan.device.stat(path))?.isDirectory() ?? false
  return isFolder ? `${path}/` : path
}

/** Whether a name fits a pattern with %; linear, whatever the pattern. */
function matches(name: string, component: string): boolean {
  const [first = '', ...others] = component.split('%')
  const last = others.pop()
  if (last === undefined) return name === component
  if (name.startsWith('.') && !component.startsWith('.')) return false
  if (!name.startsWith(first)) return false
  let at = first.length
  for (const part of others) {
    const found = name.indexOf(part, at)
    if (found === -1) return false
    at = found + part.length
  }
  return name.length - last.length >= at && name.endsWith(last)
}
