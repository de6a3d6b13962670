// Digests of regular files by path, or of those directly in a directory; symbolic links are followed. Only the digests that
// a query uses are computed, of files of any size: osquery's limit of 50 MiB is replaced by the query's time limit.
import { fileDigests, type Algorithm } from '../sources/digests.ts'
import { pidWithNamespace, warnOfNamespaces } from '../sources/namespace.ts'
import { orWarn } from '../sources/or-warn.ts'
import { askedFiles } from '../sources/paths.ts'
import { warnOnce } from '../sources/warn-once.ts'
import { defineTable } from './define.ts'

export const hash = defineTable({
  name: 'hash',
  about: 'Filesystem hash data.',
  origin: 'osquery',
  columns: {
    path: { type: 'TEXT', about: 'Path of the file', required: true, index: true, optimized: true },
    directory: { type: 'TEXT', about: 'Folder of the file', required: true, optimized: true },
    md5: { type: 'TEXT', about: 'MD5 of the content', collate: 'NOCASE' },
    sha1: { type: 'TEXT', about: 'SHA-1 of the content', collate: 'NOCASE' },
    sha256: { type: 'TEXT', about: 'SHA-256 of the content', collate: 'NOCASE' },
    pid_with_namespace: pidWithNamespace,
    mount_namespace_id: { type: 'TEXT', about: 'Mount namespace that was read: NULL, the host itself', hidden: true },
  },
  examples: [
    "SELECT sha256 FROM hash WHERE path = '/usr/bin/ssh'",
    'SELECT p.pid, h.sha256 FROM processes p JOIN hash h ON h.path = p.path',
  ],
  *read(context) {
    warnOfNamespaces(context)
    const { device } = context
    const refused = warnOnce(context)
    const used = algorithms.filter((algorithm) => context.isUsed(algorithm))
    for (const { path, directory } of askedFiles(context)) {
      const isFile = orWarn(refused, () => device.stat(path))?.isFile() ?? false
      if (!isFile) continue
      const read = () => fileDigests(device, path, used, () => context.checkpoint())
      const digests = used.length === 0 ? undefined : orWarn(refused, read)
      yield { path, directory, ...(digests && Object.fromEntries(digests)), pid_with_namespace: 0 }
    }
  },
})

const algorithms: readonly Algorithm[] = ['md5', 'sha1', 'sha256']
