// tidegate demo: the whole way in a minute, told in plain sentences. Every figure it prints is asked from the programs.
import { Command } from 'commander'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from '../demo/processes.ts'
import { site, Stack, type Schedule } from '../demo/stack.ts'
import { AppError, describeError } from '../../lib/errors.ts'
import type { HostList, HostTable, LedgerPage, QueryDetail } from '../../protocol/api.ts'
import type { z } from 'zod'

const devices = ['press-1', 'press-2', 'press-3']

/** Short intervals, so that a minute shows what a day does; splay 0 leaves quiet moments in which all counts agree. */
const schedule: Schedule = {
  clock: { query: 'SELECT unix_time, iso_8601 FROM time', interval: 2, snapshot: true, splay: 0 },
  os_version: { query: 'SELECT * FROM os_version', interval: 10, snapshot: true, splay: 0 },
  uptime: { query: 'SELECT * FROM uptime', interval: 2, snapshot: true, splay: 0 },
  memory_info: { query: 'SELECT * FROM memory_info', interval: 2, snapshot: true, splay: 0 },
  processes: { query: 'SELECT * FROM processes', interval: 4, snapshot: true, splay: 0 },
  listening_ports: {
    query: 'SELECT port, protocol, address FROM listening_ports WHERE port > 0',
    interval: 4,
    splay: 0,
  },
}

const slowLinkBytesPerSecond = 8 * 1024
const question = 'SELECT o.name, o.version, u.total_seconds AS uptime_s FROM os_version o, uptime u'
const queuedQuestion = 'SELECT count(*) AS processes, max(resident_size) / 1048576 AS largest_mib FROM processes'

export function demoCommand(): Command {
  return new Command('demo')
    .summary('show the whole way on this machine, with a throwaway PKI')
    .description(
      'Starts a coordinator, a gateway and three agents on this machine, cuts the link, kills the gateway, restores both, and counts.',
    )
    .option('--keep', 'leave everything running at the end, with its addresses, until Ctrl-C')
    .addHelpText('after', '\nExamples:\n  tidegate demo\n  tidegate demo --keep')
    .action(async ({ keep }: { keep?: true }) => runDemo({ keep: keep === true }))
}

async function runDemo({ keep }: { keep: boolean }): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-demo-'))
  const story = new Story()
  let stack: Stack | undefined
  let failed = false
  const abort = new AbortController()
  const onSignal = () => abort.abort()
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal)
  try {
    story.say('A throwaway PKI: root CA, site CA of plant-a, one certificate for each of five programs.')
    stack = await Stack.create({
      folder,
      devices,
      schedule,
      gateway: { uplink: { stateLaneAbove: '4KiB', segmentBytes: '4KiB', retryMax: '2s' } },
    })
    await Promise.race([tell(stack, story), aborted(abort.signal)])
    if (keep) await keepRunning(stack, abort.signal)
  } catch (error) {
    failed = true
    process.stderr.write(`\n${describeError(error)}\n`)
    for (const name of ['coordinator', 'gateway', ...devices]) {
      process.stderr.write(`  log of ${name}: ${join(folder, `${name}.log`)}\n`)
    }
  } finally {
    process.removeListener('SIGINT', onSignal).removeListener('SIGTERM', onSignal)
    await stack?.stop()
    if (!failed) rmSync(folder, { recursive: true, force: true })
  }
  if (failed) process.exitCode = 1
  else story.ledger()
}

/** The story itself; each part waits for what it tells. */
async function tell(stack: Stack, story: Story): Promise<void> {
  await stack.startCoordinator()
  await stack.startGateway()
  await Promise.all(devices.map((device) => stack.startAgent(device)))
  story.say(
    `Coordinator, gateway and agents ${devices.join(', ')} run, each a process of its own; they meet only over mutual TLS.`,
  )

  const hosts = await until('snapshots of all devices at the centre', async () => {
    const list = await stack.api<z.infer<typeof HostList>>('/api/v1/hosts')
    const seen = await Promise.all(list.hosts.map((host) => tableOf(stack, host.device, 'os_version')))
    return seen.filter((table) => table !== undefined).length === devices.length ? seen : undefined
  })
  const os = hosts[0]
  const nameOf = (column: string) => String(os?.rows[0]?.[os.columns.indexOf(column)] ?? '')
  story.say(
    `Snapshots of this real machine have reached the centre: ${devices.length} devices run ${nameOf('name')} ${nameOf('version')}.`,
  )

  story.say('A question from the centre, answered live by every device:')
  await story.command(stack, ['query', '--target', `site=${site}`, '--why', 'demo', question])

  stack.link.cut()
  story.say('The link to the centre is cut. Devices go on, and the gateway keeps what they send:')
  const queryId = await queueQuestion(stack)
  const held = await until('a backlog at the gateway', async () => {
    const { uplink } = await stack.admin<GatewayFigures>('/v1/status')
    return uplink.backlog.history >= 40 ? uplink.backlog.history : undefined
  })
  story.detail(`${held} records wait for the link, and the plant engineer still has answers on site:`)
  await story.gatewayCommand(stack, [
    'query',
    'SELECT device, count(*) AS processes, max(age_s) AS age_s FROM processes GROUP BY device',
  ])

  story.say(`A question asked at the centre meanwhile, ${queryId}, waits for the site:`)
  story.detail(`$ tidegate query --target site=${site} --valid-for 1h '${queuedQuestion}'`)
  const waiting = await stack.api<QueryDetail>(`/api/v1/queries/${queryId}`)
  for (const target of waiting.devices)
    story.detail(`${target.device ?? target.site}: ${target.state}, ${target.reason ?? ''}`)

  await stack.program('gateway').kill()
  story.say('The gateway is killed with SIGKILL. Devices put their records on their own disks.')
  const waitingOnDevices = await until('records in the outboxes of all devices', async () => {
    const counts = await Promise.all(
      devices.map(async (device) => (await stack.agentStatus(device)).outbox.recordCount),
    )
    return counts.every((count) => count > 0) ? counts : undefined
  })
  await stack.startGateway()
  story.detail(`Started again: ${waitingOnDevices.join(' + ')} records wait on the devices and are handed over now.`)
  await until(
    'the devices to hand over',
    async () => {
      const counts = await Promise.all(
        devices.map(async (device) => (await stack.agentStatus(device)).outbox.recordCount),
      )
      return counts.every((count) => count === 0) ? true : undefined
    },
    60_000,
  )

  await backlogDrains(stack, story)
  await queuedAnswers(stack, story, queryId)
  story.setLedger(await settledLedger(stack))
}

/** Restores a slow link, and tells when the newest state and when all history was at the centre. */
async function backlogDrains(stack: Stack, story: Story): Promise<void> {
  const newest = await Promise.all(devices.map((device) => siteClock(stack, device)))
  const { uplink } = await stack.admin<GatewayFigures>('/v1/status')
  const before = (await stack.api<LedgerPage>('/api/v1/ledger')).totals.atCentre
  const backlog = uplink.backlog.history
  const startedMs = Date.now()
  stack.link.restore({ bytesPerSecond: slowLinkBytesPerSecond })
  story.say(
    `The link is back, at ${slowLinkBytesPerSecond / 1024} KiB/s. ${backlog} records wait; the newest state goes first:`,
  )
  const stateMs = await until(
    'the newest state at the centre',
    async () => {
      const clocks = await Promise.all(devices.map((device) => tableOf(stack, device, 'clock')))
      return clocks.every((table, index) => Number(table?.rows[0]?.[0] ?? 0) >= (newest[index] ?? 0))
        ? Date.now() - startedMs
        : undefined
    },
    60_000,
  )
  story.detail(`after ${seconds(stateMs)} the centre knows how every device is now,`)
  const historyMs = await until(
    'the history at the centre',
    async () => {
      const { totals } = await stack.api<LedgerPage>('/api/v1/ledger')
      return totals.atCentre >= before + backlog ? Date.now() - startedMs : undefined
    },
    120_000,
  )
  story.detail(`after ${seconds(historyMs)} it has the whole history as well.`)
  stack.link.restore()
}

async function queuedAnswers(stack: Stack, story: Story, queryId: string): Promise<void> {
  await until(
    'the queued question to be answered',
    async () => {
      const query = await stack.api<QueryDetail>(`/api/v1/queries/${queryId}`)
      return query.status === 'done' ? query : undefined
    },
    60_000,
  )
  story.say('The question that waited has its answers:')
  await story.command(stack, ['queries', 'show', queryId, '--follow'])
}

interface Ledger {
  sent: number
  stored: number
  atCentre: number
  missing: number
}

/** Waits for a moment in which devices, gateway and centre count the same. */
async function settledLedger(stack: Stack): Promise<Ledger> {
  let last: Ledger | undefined
  return until(
    'devices, gateway and centre to count the same',
    async () => {
      const sentBy = await Promise.all(
        devices.map(async (device) => (await stack.agentStatus(device)).outbox.nextSeq - 1),
      )
      const onSite = await stack.admin<SiteLedger>('/v1/ledger')
      const { totals } = await stack.api<LedgerPage>('/api/v1/ledger')
      last = {
        sent: sum(sentBy),
        stored: sum(onSite.epochs.map((epoch) => epoch.received)),
        atCentre: totals.atCentre,
        missing: totals.missing + sum(onSite.epochs.map((epoch) => epoch.missingCount)),
      }
      return last.sent === last.stored && last.stored === last.atCentre && last.missing === 0 ? last : undefined
    },
    60_000,
  ).catch((error: unknown) => {
    throw new AppError('LEDGER_OPEN', `the counts do not agree: ${JSON.stringify(last)}`, { cause: error })
  })
}

interface GatewayFigures {
  uplink: { backlog: { history: number } }
}

interface SiteLedger {
  epochs: { received: number; missingCount: number }[]
}

/** The value of the newest `clock` snapshot of a device, as the site has it. */
async function siteClock(stack: Stack, device: string): Promise<number> {
  const sql = `SELECT max(unix_time) AS clock FROM clock WHERE device = '${device}'`
  const { stdout } = await stack.gatewayCommand('query', '--json', sql)
  return Number((JSON.parse(stdout) as { clock: string }[])[0]?.clock)
}

async function tableOf(stack: Stack, device: string, name: string): Promise<z.infer<typeof HostTable> | undefined> {
  return stack.api<z.infer<typeof HostTable>>(`/api/v1/hosts/${device}.${site}/tables/${name}`).catch(() => undefined)
}

/** Asks while the link is down, without waiting for the answer, and returns the query's id. */
async function queueQuestion(stack: Stack): Promise<string> {
  const args = [
    'query',
    '--target',
    `site=${site}`,
    '--valid-for',
    '1h',
    '--why',
    'demo',
    '--detach',
    '--json',
    queuedQuestion,
  ]
  const { code, stdout, stderr } = await stack.tidegate(...args)
  if (code !== 0) throw new AppError('QUERY_NOT_QUEUED', `the question could not be queued: ${stderr}`)
  return (JSON.parse(stdout) as { id: string }).id
}

async function keepRunning(stack: Stack, signal: AbortSignal): Promise<void> {
  const environment = Object.entries(stack.environment).map(([name, value]) => `export ${name}=${value}`)
  process.stdout.write(
    [
      '\nEverything keeps running until Ctrl-C. In another shell:',
      ...environment.map((line) => `  ${line}`),
      `  tidegate sites`,
      `  tidegate-gateway status --config ${stack.config('gateway')}`,
      `  tidegate-agent status --config ${stack.config(devices[0] ?? '')}`,
      `API and its documentation: https://localhost:${stack.ports.api}/api/docs`,
      '',
    ].join('\n'),
  )
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(new AppError('STOPPED', 'the demo was stopped')), { once: true })
  })
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0)
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}

/** Numbered sentences on stdout, with what was asked and answered beneath. */
class Story {
  #step = 0
  #ledger: Ledger | undefined
  readonly #startedMs = Date.now()

  say(sentence: string): void {
    this.#step++
    process.stdout.write(`\n${String(this.#step).padStart(2)}  ${sentence}\n`)
  }

  detail(text: string): void {
    process.stdout.write(`    ${text}\n`)
  }

  async command(stack: Stack, args: string[]): Promise<void> {
    this.#show('tidegate', args, await stack.tidegate(...args))
  }

  async gatewayCommand(stack: Stack, args: string[]): Promise<void> {
    this.#show('tidegate-gateway', args, await stack.gatewayCommand(...args))
  }

  setLedger(ledger: Ledger): void {
    this.#ledger = ledger
  }

  /** The last line: what was sent, stored, arrived, and is missing. */
  ledger(): void {
    if (this.#ledger === undefined) return
    const { sent, stored, atCentre, missing } = this.#ledger
    process.stdout.write(`\n    All of it took ${seconds(Date.now() - this.#startedMs)}.\n`)
    process.stdout.write(`sent ${sent}, stored ${stored}, at the centre ${atCentre}, missing ${missing}\n`)
  }

  #show(program: string, args: readonly string[], result: { code: number; stdout: string; stderr: string }): void {
    this.detail(`$ ${program} ${args.map((arg) => (/[^\w=./-]/.test(arg) ? `'${arg}'` : arg)).join(' ')}`)
    for (const line of result.stdout.trimEnd().split('\n')) this.detail(line)
    if (result.code !== 0)
      throw new AppError('COMMAND_FAILED', `${program} ${args[0]} ended with ${result.code}: ${result.stderr.trim()}`)
  }
}
