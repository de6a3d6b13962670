// Bundles each program into dist/ with esbuild and prints what it weighs.
// Native addons (better-sqlite3) stay outside the bundles; the agent's bundle may not need one.
import { build } from 'esbuild'
import {
  copyFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
  readFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { sourceHash } from './source-hash.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const dist = join(root, 'dist')
const version = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version

// Bundled CommonJS packages call require() for Node's own modules; ESM output has none of its own.
// jose needs WebCrypto as a global, which Node 18 keeps behind a flag.
const banner = [
  "import { createRequire as tgCreateRequire } from 'node:module';",
  'const require = tgCreateRequire(import.meta.url);',
  "if (!globalThis.crypto) globalThis.crypto = require('node:crypto').webcrypto;",
].join('')

const common = {
  bundle: true,
  platform: 'node',
  format: 'esm',
  sourcemap: true,
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: 'none',
  logLevel: 'warning',
  absWorkingDir: root,
  mainFields: ['module', 'main'],
  define: { 'process.env.TIDEGATE_VERSION': JSON.stringify(version) },
  banner: { js: banner },
}

const programs = [
  { entry: 'agent-lite/main.ts', out: 'tidegate-agent.js', target: 'node18', external: [] },
  { entry: 'agent-lite/engine/worker.ts', out: 'tidegate-agent-engine.js', target: 'node18', external: [] },
  { entry: 'gateway/main.ts', out: 'tidegate-gateway.js' },
  { entry: 'gateway/journal/worker.ts', out: 'tidegate-gateway-journal.js' },
  { entry: 'gateway/store/worker.ts', out: 'tidegate-gateway-store.js' },
  { entry: 'gateway/state/worker.ts', out: 'tidegate-gateway-state.js' },
  { entry: 'gateway/state/sql-process.ts', out: 'tidegate-gateway-sql.js' },
  {
    entry: 'coordinator/main.ts',
    out: 'tidegate-coordinator.js',
    external: ['better-sqlite3', '@fastify/swagger-ui', '@fastify/swagger'],
  },
  { entry: 'coordinator/store/sqlite/worker.ts', out: 'tidegate-coordinator-store.js' },
  { entry: 'cli/main.ts', out: 'tidegate.js' },
]

const only = process.argv.slice(2)
if (only.length === 0) rmSync(dist, { recursive: true, force: true })
mkdirSync(dist, { recursive: true })
for (const program of programs) {
  if (!existsSync(join(root, program.entry))) {
    console.error(`build: ${program.entry} is missing`)
    process.exitCode = 1
    continue
  }
  if (only.length > 0 && !only.some((name) => program.entry.startsWith(name))) continue
  await build({
    ...common,
    entryPoints: [program.entry],
    outfile: join(dist, program.out),
    target: program.target ?? 'node20',
    external: program.external ?? ['better-sqlite3'],
  })
  if (program.entry.endsWith('main.ts')) chmodSync(join(dist, program.out), 0o755)
}

copyFileSync(join(root, 'node_modules/@sqlite.org/sqlite-wasm/dist/sqlite3.wasm'), join(dist, 'sqlite3.wasm'))
for (const folder of [
  'gateway/store/migrations',
  'coordinator/store/migrations',
  'gateway/journal/migrations',
  'gateway/state/migrations',
]) {
  if (!existsSync(join(root, folder))) continue
  const to = join(
    dist,
    'migrations',
    folder
      .split('/')
      .filter((part) => part !== 'migrations')
      .join('-'),
  )
  mkdirSync(to, { recursive: true })
  for (const name of readdirSync(join(root, folder))) copyFileSync(join(root, folder, name), join(to, name))
}
// Node 18 takes a .js file for CommonJS unless a package.json beside it says otherwise.
writeFileSync(join(dist, 'package.json'), '{ "type": "module" }\n')
writeFileSync(join(dist, '.source-hash'), sourceHash(root))

const kib = (name) => `${Math.round(statSync(join(dist, name)).size / 1024)} KiB`.padStart(9)
for (const name of readdirSync(dist).filter((file) => file.endsWith('.js') || file.endsWith('.wasm'))) {
  console.log(`${kib(name)}  dist/${name}`)
}
