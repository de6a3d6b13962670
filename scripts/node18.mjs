// Runs the agent's bundle on Node 18.20, Debian 12's: queries real tables with it. The binary comes from the npm package
// node-linux-<arch>, kept under node_modules/.cache.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const name = `node-linux-${process.arch}`
const cache = join(root, 'node_modules/.cache/node18')
const node18 = join(cache, 'node_modules', name, 'bin/node')

if (process.platform !== 'linux' || !['x64', 'arm64'].includes(process.arch)) {
  console.log(`node18: no Node 18 package for ${process.platform}-${process.arch}; nothing was run`)
  process.exit(0)
}
if (!existsSync(node18)) {
  mkdirSync(cache, { recursive: true })
  const install = spawnSync(
    'npm',
    ['install', '--no-save', '--no-package-lock', '--prefix', cache, `${name}@18.20.4`],
    { stdio: ['ignore', 2, 2] },
  )
  if (install.status !== 0) process.exit(1)
}
const checks = [
  ['--version'],
  ['query', '--json', 'SELECT p.name FROM processes p WHERE p.pid = 1'],
  ['query', '--json', "SELECT sha256 FROM hash WHERE path = '/etc/hostname'"],
  ['tables', '--json'],
]
for (const args of checks) {
  const result = spawnSync(node18, [join(root, 'dist/tidegate-agent.js'), ...args], { encoding: 'utf8' })
  if (result.status !== 0 || result.stdout === '') {
    console.error(`node18: tidegate-agent ${args.join(' ')} failed:\n${result.stdout}${result.stderr}`)
    process.exit(1)
  }
}
const version = spawnSync(node18, ['--version'], { encoding: 'utf8' }).stdout.trim()
console.log(`node18: the agent's bundle ran ${checks.length} commands on ${version}`)
