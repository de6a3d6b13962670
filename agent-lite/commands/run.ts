// tidegate-agent run: in the foreground until SIGTERM or SIGINT. Puts the parts together, in the order in which they need
// each other; each stops within seconds, and what it had not finished the next start takes up.
import { uptime } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import { readConfigFile } from '../../lib/config.ts'
import { AppError } from '../../lib/errors.ts'
import { createLog, type Logger } from '../../lib/log.ts'
import { loadTrustedKey, type TrustedKey } from '../../protocol/jws.ts'
import type { StatusRecord } from '../../protocol/records.ts'
import { readClockState } from '../clock-state.ts'
import { loadAgentConfig, type AgentConfig } from '../config.ts'
import { serveStatus } from '../control/socket.ts'
import type { AgentStatus } from '../control/status.ts'
import { CommandJournal } from '../dispatch/command-journal.ts'
import { DenyList } from '../dispatch/deny-list.ts'
import { Dispatcher } from '../dispatch/dispatcher.ts'
import { Engine } from '../engine/client.ts'
import { agentFacts, statusOf } from '../facts.ts'
import { readIdentity } from '../identity.ts'
import { Link } from '../link/link.ts'
import { Outbox } from '../outbox/outbox.ts'
import { startSchedule } from '../schedule/start.ts'

export const defaultConfigPath = '/etc/tidegate/agent.yaml'

/** Past this the process ends, whatever still runs. */
const stopTimeoutMs = 5000
/** How often the facts about the device are looked at. */
const factsEveryMs = 3_600_000

export function runCommand(): Command {
  return new Command('run')
    .description('Run the agent in the foreground: schedule, outbox, link to the gateway, answers to queries.')
    .option('-c, --config <file>', 'the configuration', defaultConfigPath)
    .addHelpText('after', '\nExample:\n  tidegate-agent run --config /etc/tidegate/agent.yaml\n')
    .action(async ({ config: path }: { config: string }) => {
      const config = loadAgentConfig(path)
      const log = createLog('tidegate-agent', config.log.level)
      for (const warning of config.warnings) log.warn(warning)
      const stopped = new Promise<NodeJS.Signals>((resolve) => {
        for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, resolve)
      })
      const stop = await startAgent(config, log)
      const signal = await stopped
      log.info({ signal }, 'stopping')
      setTimeout(() => process.exit(0), stopTimeoutMs).unref()
      await stop()
    })
}

/** Starts everything; returns what stops it. Throws AppError. */
async function startAgent(config: AgentConfig, log: Logger): Promise<() => Promise<void>> {
  const { site, dataDir, gateway, tls } = config
  const startedMs = Date.now()
  const version = process.env['TIDEGATE_VERSION'] ?? 'unbuilt'
  const trust = await trustedKeys(config)
  const identity = readIdentity({ certPem: readConfigFile(tls.cert, 'tls.cert'), site, dataDir })
  const { device, bootId } = identity
  const uptimeMs = () => Math.round(uptime() * 1000)
  const clock = () => readClockState(uptimeMs())

  let status: () => AgentStatus | { starting: true } = () => ({ starting: true })
  const control = await serveStatus(dataDir, () => status())
  // A start that fails must end the process.
  control.unref()
  const { maxBytes, flushDelay: flushDelayMs } = config.outbox
  const outbox = await Outbox.open(join(dataDir, 'outbox'), { maxBytes, flushDelayMs, log })
  const journal = await CommandJournal.open(join(dataDir, 'commands'), log)
  const denyList = new DenyList(join(dataDir, 'deny-list.json'), log)
  const engine = new Engine({ memoryMaxBytes: config.query.memory })
  const facts = () => agentFacts(config, identity, schedule.facts)
  const schedule = await startSchedule({ config, device, engine, outbox, facts, denyList, log })
  const dispatcher = new Dispatcher({
    site,
    device,
    trust,
    journal,
    denyList,
    engine,
    outbox,
    limits: { timeoutMs: config.query.timeout, maxRows: config.query.maxRows, maxBytes: config.query.maxBytes },
    facts,
    clock,
    log,
  })
  const link = new Link({
    device,
    site,
    gateway,
    tls,
    version,
    startedMs,
    limits: {
      keepaliveMs: config.link.keepalive,
      connectTimeoutMs: config.link.connectTimeout,
      ackTimeoutMs: config.link.ackTimeout,
      maxInFlight: config.link.maxInFlight,
      envelopeBytes: config.link.envelopeBytes,
      backoffBaseMs: config.link.backoffBase,
      backoffMaxMs: config.link.backoffMax,
    },
    outbox,
    envelopeHead: () => ({ sentMs: Date.now(), bootId, uptimeMs: uptimeMs(), clock: clock() }),
    onCommand: (payload) => dispatcher.receive(payload),
    log,
  })
  outbox.onStored = () => link.wake()
  outbox.onLost = (ranges) => schedule.noteLost(ranges)

  status = () => ({
    device,
    site,
    version,
    pid: process.pid,
    startedMs,
    gateway: `${gateway.host}:${gateway.port}`,
    ...link.state,
    outbox: outbox.state,
    schedule: schedule.state,
    denyList: denyList.entries(),
    commands: dispatcher.state,
  })
  const stopTelling = tellFacts(() => statusOf(config, identity), outbox, log)
  dispatcher.start()
  link.start()
  log.info({ device, site, version, epoch: outbox.epoch }, 'the agent runs')

  return async () => {
    stopTelling()
    await Promise.all([link.stop(), dispatcher.stop().then(() => schedule.stop())])
    await engine.close()
    await outbox.close()
    await journal.close()
    await new Promise((resolve) => control.close(resolve))
  }
}

/** Tells the site what this device is, now and whenever that changes. */
function tellFacts(read: () => Omit<StatusRecord, 'seq'>, outbox: Outbox, log: Logger): () => void {
  let told = ''
  const tell = () => {
    try {
      const record = read()
      const facts = JSON.stringify(record.facts)
      if (facts !== told) outbox.add(record)
      told = facts
    } catch (error) {
      log.error({ err: error }, 'cannot tell the site what this device is; trying again later')
    }
  }
  tell()
  const timer = setInterval(tell, factsEveryMs)
  return () => clearInterval(timer)
}

async function trustedKeys({ trust }: AgentConfig): Promise<TrustedKey[]> {
  const keys: TrustedKey[] = []
  for (const owner of ['centre', 'plant'] as const) {
    for (const path of trust[owner]) {
      const pem = readConfigFile(path, `trust.${owner}`)
      try {
        keys.push(await loadTrustedKey(pem, owner))
      } catch (error) {
        throw new AppError('TRUST_KEY_INVALID', `trust.${owner}: ${path} is not an Ed25519 public key`, {
          exit: 'config',
          hint: 'name the .pub file (PEM, SPKI) of the signing key',
          cause: error,
        })
      }
    }
  }
  return keys
}
