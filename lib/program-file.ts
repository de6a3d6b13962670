// Where the other files of a program lie: beside it in dist/ once bundled, in the source tree before.
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const besideBundle = new URL('./', import.meta.url)
const isBundled = existsSync(new URL('./.source-hash', import.meta.url)) || !import.meta.url.endsWith('.ts')
const dist = isBundled ? besideBundle : new URL('../dist/', import.meta.url)

/** A file of dist/, for example 'tidegate-gateway-journal.js'. Run from sources (tests), it is the last build's. */
export function programFile(name: string): URL {
  return new URL(name, dist)
}

/** The folder of numbered .sql files of a store, for example migrationsFolder('gateway', 'journal'). */
export function migrationsFolder(program: string, store: string): string {
  return fileURLToPath(
    isBundled
      ? new URL(`migrations/${program}-${store}/`, dist)
      : new URL(`../${program}/${store}/migrations/`, import.meta.url),
  )
}
