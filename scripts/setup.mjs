// Makes a fresh clone ready: installs packages when the lock file changed, compiles the SQLite addon when it does
// not load, builds dist/ when a source changed. Says what it does; does nothing when there is nothing to do.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { sourceHash } from './source-hash.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))

function run(label, command, args) {
  const startedAtMs = Date.now()
  process.stderr.write(`setup: ${label}\n`)
  const result = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2] })
  if (result.status !== 0) {
    process.stderr.write(`setup: failed: ${command} ${args.join(' ')}\n`)
    process.exit(1)
  }
  process.stderr.write(`setup: done in ${((Date.now() - startedAtMs) / 1000).toFixed(1)} s\n`)
}

const major = Number(process.versions.node.split('.')[0])
if (major < 20) {
  process.stderr.write(
    `setup: Node ${process.versions.node} is too old to build and test tidegate: use Node 20 or newer\n`,
  )
  process.exit(1)
}

const lockHash = createHash('sha256')
  .update(readFileSync(join(root, 'package-lock.json')))
  .update(process.version)
  .digest('hex')
const stamp = join(root, 'node_modules/.tidegate-setup')
if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== lockHash) {
  run('installing packages (the SQLite addon is compiled here: about a minute)', 'npm', ['ci'])
  const loads = () =>
    spawnSync(process.execPath, ['-e', "new (require('better-sqlite3'))(':memory:')"], { cwd: root }).status === 0
  if (!loads()) run('compiling better-sqlite3', 'npm', ['rebuild', 'better-sqlite3', '--build-from-source'])
  if (!loads()) {
    process.stderr.write(
      'setup: better-sqlite3 does not load; a C++ compiler, make and python3 are needed to build it\n',
    )
    process.exit(1)
  }
  writeFileSync(stamp, lockHash)
}

const built = join(root, 'dist/.source-hash')
if (!existsSync(built) || readFileSync(built, 'utf8') !== sourceHash(root)) {
  run('building dist/', process.execPath, ['scripts/build.mjs'])
}
