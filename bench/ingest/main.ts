// PUBACKs per second with 50 mutually authenticated clients, 20 publishes of 512 bytes in flight each, every PUBACK
// after an fsync, against Debian's mosquitto on the same machine in the same run, holding the messages for an offline
// durable subscriber. A round lasts as long as a short outage (30 s), since what a broker holds is part of what it costs:
// mosquitto writes all of it every second. Prints a table and keeps it, with machine and versions, in
// bench/results/ingest.json.
//   npx tsx bench/ingest/main.ts [--rounds N] [--seconds N]
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
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
const ca = join(at.site(site), 'chain.pem')
const server = { cert: join(at.gateway(site), 'cert.pem'), key: join(at.gateway(site), 'key.pem') }

const tidegate: Target = {
  name: 'tidegate',
  async start(folder, port) {
    const child = spawn(
      process.execPath,
      ['--import', 'tsx', join(here, 'broker-process.ts'), folder, pki, String(port)],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    )
    await once(child.stdout, 'data')
    return child
  },
  onDisk(folder) {
    const database = openReadOnly(join(folder, 'journal.db'))
    const count = database.prepare<[], number>('SELECT count(*) FROM record').pluck().get() ?? 0
    database.close()
    return count
  },
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
    const child = spawn('mosquitto', ['-c', config], { stdio: 'ignore' })
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
  // Whatever happens here, no broker may be left running.
  process.once('exit', () => child.kill('SIGKILL'))
  const orders: LoadOrders = { port, ca, devices, inFlight, payloadBytes, warmupMs: 2000, measureMs }
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

const all: Round[] = []
const row = (cells: (string | number)[]) => console.error(cells.map((cell) => String(cell).padStart(11)).join(' '))
row(['', 'PUBACK/s', 'p50 ms', 'p99 ms', 'max ms', 'RSS MiB', 'CPU s', 'load', 'lost', 'PUBACK/s in each fifth'])
for (let round = 0; round < rounds; round++) {
  for (const target of round % 2 === 0 ? [tidegate, mosquitto] : [mosquitto, tidegate]) {
    const result = await runRound(target)
    all.push(result)
    const { perSecond, p50Ms, p99Ms, maxMs, rssMiB, cpuSeconds, loadAverage, onDisk, acked, series } = result
    const times = [p50Ms.toFixed(1), p99Ms.toFixed(1), maxMs.toFixed(0)]
    const lost = onDisk === undefined ? 'not asked' : Math.max(0, acked - onDisk)
    row([target.name, perSecond, ...times, rssMiB, cpuSeconds, loadAverage.toFixed(1), lost, `  ${series.join(' ')}`])
    if (onDisk !== undefined && onDisk < acked) throw new Error(`${acked} acknowledged, only ${onDisk} on disk`)
  }
}
rmSync(work, { recursive: true, force: true })

const summary = Object.fromEntries(
  [tidegate, mosquitto].map(({ name }) => {
    const mine = all.filter(({ target }) => target === name)
    const of = (key: 'perSecond' | 'p50Ms' | 'p99Ms' | 'rssMiB' | 'cpuSeconds') =>
      median(mine.map((round) => round[key]))
    return [
      name,
      {
        perSecond: of('perSecond'),
        p50Ms: of('p50Ms'),
        p99Ms: of('p99Ms'),
        rssMiB: of('rssMiB'),
        cpuSeconds: of('cpuSeconds'),
      },
    ]
  }),
) as Record<
  'tidegate' | 'mosquitto',
  { perSecond: number; p50Ms: number; p99Ms: number; rssMiB: number; cpuSeconds: number }
>
const ratios = {
  perSecond: summary.tidegate.perSecond / summary.mosquitto.perSecond,
  p99: summary.tidegate.p99Ms / summary.mosquitto.p99Ms,
}
console.error(
  `median: tidegate ${Math.round(summary.tidegate.perSecond)}/s, mosquitto ${Math.round(summary.mosquitto.perSecond)}/s: ` +
    `${ratios.perSecond.toFixed(2)} × its rate, ${ratios.p99.toFixed(2)} × its p99`,
)
const results = fileURLToPath(new URL('../results/', import.meta.url))
mkdirSync(results, { recursive: true })
writeFileSync(
  join(results, 'ingest.json'),
  `${JSON.stringify(
    {
      what: `${clients} clients × ${inFlight} in flight, ${payloadBytes}-byte envelopes, ${measureMs / 1000} s per round`,
      durability: {
        tidegate: 'one fsync (SQLite WAL, synchronous=FULL) of the batch before each PUBACK',
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
