// A digest of everything that goes into dist/, so that set-up builds only when something changed.
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const folders = ['protocol', 'certs', 'lib', 'agent-lite', 'gateway', 'coordinator', 'cli', 'scripts']

export function sourceHash(root) {
  const hash = createHash('sha256')
  const visit = (path) => {
    for (const entry of readdirSync(path, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const full = join(path, entry.name)
      if (entry.isDirectory()) visit(full)
      else if (!entry.name.endsWith('.test.ts')) hash.update(full.slice(root.length)).update(readFileSync(full))
    }
  }
  for (const folder of folders) visit(join(root, folder))
  hash.update(readFileSync(join(root, 'package-lock.json')))
  return hash.digest('hex')
}
