// PUBACKs per second with 50 mutually authenticated clients, 20 publishes of 512 bytes in flight each, every PUBACK
// after an fsync, against Debian's mosquitto on the same machine in the same run, holding the messages for an offline
// durable subscriber. A round lasts as long as a short outage (30 s), since what a broker holds is part of what it costs:
// mosquitto writes all of it every second. Prints a table and keeps it, with machine and versions, in
// bench/results/ingest.json.
//   npx tsx bench/ingest/main.ts [--rounds N] [--seconds N]
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { cpus, loadavg, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import mqtt from 'mqtt'
import { createRoot, createSite, issueDevice, issueServer } from '../../certs/authority.ts'
import { layoutOf } from '../../certs/layout.ts'
import { openReadOnly } from '../../lib/sqlite/open.ts'
import type { LoadFigures, LoadOrders } from './load.ts'

const { values } = parseArgs({ options: { rounds: { type: 'string' }, seconds: { type: 'string' } } })
const rounds = Number(values.rounds ?? 3)
const measureMs = Number(values.seconds ?? 30) * 1000
const clients = 50
const inFlight = 20
const payloadBytes = 512
const site = 'plant-a'
const here = fileURLToPath(new URL('.', import.meta.url))

interface Round extends LoadFigures {
  target: string
  perSecond: number
  rssMiB: number
  peakRssMiB: number
  cpuSeconds: number
  /** Of the machine, over the minute before the round: what else it was doing. */
  loadAverage: number
  /** Records that the target holds on disk afterwards, where that can be asked. */
  onDisk?: number
}

interface Target {
  name: string
  start(folder: string, port: number): Promise<ChildProcess>
  onDisk?(folder: string): number
}

// The journal's thread and the gateway run as built.
execFileSync(process.execPath, [fileURLToPath(new URL('../../scripts/setup.mjs', import.meta.url))], {
  stdio: 'inherit',
})
const work = mkdtempSync(join(tmpdir(), 'tidegate-bench-'))
const pki = join(work, 'pki')
const at = layoutOf(pki)
await createRoot({ pki, deployment: 'Bench' })
await createSite({ pki, site })
await issueServer({ pki, role: 'gateway', site, loopback: true })
const devices: LoadOrders['devices'] = []
for (let number = 1; number <= clients; number++) {
  const id = `bench-${number}`
  const { folder } = await issueDevice({ pki, site, device: id })
  devices.push({ id, cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') })
}
const probeFolder = (await issueDevice({ pki, site, device: 'probe' })).folder
const probe = { id: 'probe', cert: join(probeFolder, 'cert.pem'), key: join(probeFolder, 'key.pem') }
const ca = join(at.site(site), 'chain.pem')
const server = { cert: join(at.gateway(site), 'cert.pem'), key: join(at.gateway(site), 'key.pem') }

/** Starts a broker that does not outlive this process, whatever happens here. */
function spawnBroker(command: string, args: string[], stdout: 'pipe' | 'ignore'): ChildProcess {
  const child = spawn(command, args, { stdio: ['ignore', stdout, command === 'mosquitto' ? 'ignore' : 'inherit'] })
  process.once('exit', () => child.kill('SIGKILL'))
  return child
}

/** What has to happen before a PUBACK, and nothing else. */
const tidegate = {
  name: 'tidegate',
  async start(folder: string, port: number) {
    const args = ['--import', 'tsx', join(here, 'broker-process.ts'), folder, pki, String(port)]
    const child = spawnBroker(process.execPath, args, 'pipe')
    if (child.stdout !== null) await once(child.stdout, 'data')
    return child
  },
  onDisk(folder: string) {
    const database = openReadOnly(join(folder, 'journal.db'))
    const count = database.prepare<[], number>('SELECT count(*) FROM record').pluck().get() ?? 0
    database.close()
    return count
  },
} satisfies Target

/** All of it: fold into the site's state, store and an uplink whose centre cannot be reached. */
const wholeGateway: Target = {
  name: 'gateway',
  async start(folder, port) {
    const config = join(folder, 'gateway.yaml')
    const siteFolder = at.site(site)
    const lines = {
      site,
      dataDir: folder,
      devices: { listen: `127.0.0.1:${port}`, ...server, ca },
      signing: { key: join(siteFolder, 'signing.key'), pub: join(siteFolder, 'signing.pub') },
      admin: { listen: `127.0.0.1:${await freePort()}` },
      centre: {
        url: 'https://127.0.0.1:1',
        ca: join(at.root, 'ca.pem'),
        trust: [join(at.centre, 'command-signing.pub')],
      },
      log: { level: 'error' },
    }
    writeFileSync(config, JSON.stringify(lines))
    const program = fileURLToPath(new URL('../../dist/tidegate-gateway.js', import.meta.url))
    const child = spawnBroker(process.execPath, [program, 'run', '--config', config], 'ignore')
    await listening(port, child)
    return child
  },
  onDisk: tidegate.onDisk,
}

async function listening(port: number, child: ChildProcess): Promise<void> {
  while (child.exitCode === null) {
    const socket = connect(port, '127.0.0.1')
    const isOpen = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true))
      socket.once('error', () => resolve(false))
    })
    socket.destroy()
    if (isOpen) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`the gateway ended with code ${child.exitCode}`)
}

const mosquitto: Target = {
  name: 'mosquitto',
  async start(folder, port) {
    const config = join(folder, 'mosquitto.conf')
    writeFileSync(
      config,
      `${[
        `user root`,
        `listener ${port} 127.0.0.1`,
        `cafile ${ca}`,
        `certfile ${server.cert}`,
        `keyfile ${server.key}`,
        'require_certificate true',
        'use_identity_as_username true',
        'allow_anonymous false',
        'persistence true',
        `persistence_location ${folder}/`,
        'autosave_interval 1',
        'max_queued_messages 0',
        'max_inflight_messages 0',
        'log_type error',
      ].join('\n')}\n`,
    )
    const child = spawnBroker('mosquitto', ['-c', config], 'ignore')
    await holdForOfflineSubscriber(port)
    return child
  },
}

/** A durable session that subscribes to everything and goes away: mosquitto must now keep every message. */
async function holdForOfflineSubscriber(port: number): Promise<void> {
  const [first] = devices
  if (first === undefined) return
  const client = mqtt.connect({
    protocol: 'mqtts',
    host: '127.0.0.1',
    port,
    ca: readFileSync(ca),
    cert: readFileSync(first.cert),
    key: readFileSync(first.key),
    clientId: 'holder',
    clean: false,
    reconnectPeriod: 100,
  })
  client.on('error', () => {})
  await new Promise<void>((resolve) => void client.once('connect', () => resolve()))
  await client.subscribeAsync('tg/#', { qos: 1 })
  await client.endAsync()
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, 'close')
  return port
}

function processFigures(pid: number): Pick<Round, 'rssMiB' | 'peakRssMiB' | 'cpuSeconds'> {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const kib = (key: string) => Number(new RegExp(`${key}:\\s+(\\d+)`).exec(status)?.[1] ?? 0)
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return {
    rssMiB: Math.round(kib('VmRSS') / 1024),
    peakRssMiB: Math.round(kib('VmHWM') / 1024),
    cpuSeconds: (Number(stat[11]) + Number(stat[12])) / 100,
  }
}

async function runRound(target: Target): Promise<Round> {
  const folder = mkdtempSync(join(work, `${target.name}-`))
  const port = await freePort()
  const loadAverage = loadavg()[0] ?? NaN
  const child = await target.start(folder, port)
  const orders: LoadOrders = { port, ca, devices, probe, inFlight, payloadBytes, warmupMs: 2000, measureMs }
  const load = spawn(process.execPath, ['--import', 'tsx', join(here, 'load.ts'), JSON.stringify(orders)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  load.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const [code] = (await once(load, 'close')) as [number]
  if (code !== 0) throw new Error(`the load generator ended with code ${code}`)
  const figures = JSON.parse(output) as LoadFigures
  const usage = processFigures(child.pid ?? 0)
  child.kill('SIGKILL')
  await once(child, 'exit')
  const onDisk = target.onDisk?.(folder)
  rmSync(folder, { recursive: true, force: true })
  return {
    target: target.name,
    perSecond: Math.round(figures.measured / figures.seconds),
    ...figures,
    ...usage,
    loadAverage,
    ...(onDisk === undefined ? {} : { onDisk }),
  }
}

function median(numbers: number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? (sorted[middle] ?? NaN) : ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2
}

function version(command: string, args: string[]): string {
  try {
    return execFileSync(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
      .toString()
      .split('\n')[0] as string
  } catch (error) {
    // mosquitto -h ends with 3 after printing its version.
    return String((error as { stdout?: Buffer }).stdout ?? '').split('\n')[0] as string
  }
}

const targets: Target[] = [tidegate, mosquitto, wholeGateway]
const all: Round[] = []
const row = (cells: (string | number)[]) => console.error(cells.map((cell) => String(cell).padStart(11)).join(' '))
row([
  '',
  'PUBACK/s',
  'p50 ms',
  'p99 ms',
  'max ms',
  'probe p99',
  'RSS MiB',
  'CPU s',
  'load',
  'lost',
  'PUBACK/s in each fifth',
])
for (let round = 0; round < rounds; round++) {
  for (const target of round % 2 === 0 ? targets : [...targets].reverse()) {
    const result = await runRound(target)
    all.push(result)
    const { perSecond, p50Ms, p99Ms, maxMs, probeP99Ms, rssMiB, cpuSeconds, loadAverage, onDisk, acked, series } =
      result
    const times = [p50Ms, p99Ms, maxMs, probeP99Ms].map((ms) => ms.toFixed(1))
    const lost = onDisk === undefined ? 'not asked' : Math.max(0, acked - onDisk)
    row([target.name, perSecond, ...times, rssMiB, cpuSeconds, loadAverage.toFixed(1), lost, `  ${series.join(' ')}`])
    if (onDisk !== undefined && onDisk < acked) throw new Error(`${acked} acknowledged, only ${onDisk} on disk`)
  }
}
rmSync(work, { recursive: true, force: true })

const figures = ['perSecond', 'p50Ms', 'p99Ms', 'probeP50Ms', 'probeP99Ms', 'rssMiB', 'cpuSeconds'] as const
type Summary = Record<(typeof figures)[number], number>

function summarize({ name }: Target): Summary {
  const mine = all.filter(({ target }) => target === name)
  return Object.fromEntries(figures.map((key) => [key, median(mine.map((round) => round[key]))])) as Summary
}

const peer = summarize(mosquitto)
const summary: Record<string, Summary> = { mosquitto: peer }
const ratios: Record<string, { perSecond: number; p99: number; probeP99: number }> = {}
for (const target of [tidegate, wholeGateway]) {
  const own = summarize(target)
  summary[target.name] = own
  const ratio = {
    perSecond: own.perSecond / peer.perSecond,
    p99: own.p99Ms / peer.p99Ms,
    probeP99: own.probeP99Ms / peer.probeP99Ms,
  }
  ratios[target.name] = ratio
  const compare = (key: 'perSecond' | 'p99Ms' | 'probeP99Ms', unit: string) =>
    `${own[key].toFixed(0)} against ${peer[key].toFixed(0)} ${unit}, ${(own[key] / peer[key]).toFixed(2)} ×`
  console.error(`${target.name} and mosquitto: ${compare('perSecond', 'PUBACK/s')}`)
  console.error(
    `  p99 of all publishes ${compare('p99Ms', 'ms')}; p99 of a device on schedule ${compare('probeP99Ms', 'ms')}`,
  )
}
const results = fileURLToPath(new URL('../results/', import.meta.url))
mkdirSync(results, { recursive: true })
writeFileSync(
  join(results, 'ingest.json'),
  `${JSON.stringify(
    {
      targets: {
        tidegate: 'broker and journal: what has to happen before a PUBACK',
        gateway: 'the whole gateway, its centre unreachable',
        mosquitto: 'require_certificate, persistence true, autosave_interval 1, held for an offline durable subscriber',
      },
      what: `${clients} clients × ${inFlight} in flight, ${payloadBytes}-byte envelopes, ${measureMs / 1000} s per round; medians; the probe publishes every 10 ms on schedule`,
      durability: {
        'tidegate, gateway': 'one fsync (SQLite WAL, synchronous=FULL) of the batch before each PUBACK',
        mosquitto: 'PUBACK from memory; persistence true, autosave_interval 1: the whole store is written every second',
      },
      machine: { cpu: cpus()[0]?.model ?? '', cores: cpus().length, memoryGiB: Math.round(totalmem() / 2 ** 30) },
      versions: { node: process.version, mosquitto: version('mosquitto', ['-h']), kernel: version('uname', ['-r']) },
      summary,
      ratios,
      rounds: all,
    },
    null,
    1,
  )}\n`,
)
