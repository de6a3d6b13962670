// tidegate-agent run: in the foreground until SIGTERM or SIGINT. Puts the parts together, in the order in which they need
// each other; each stops within seconds, and what it had not finished the next start takes up.
import { X509Certificate } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { readFileSync } from 'node:fs'
import { uptime } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import { AppError } from '../../lib/errors.ts'
import { createLog, type Logger } from '../../lib/log.ts'
import { DeviceId } from '../../protocol/ids.ts'
import { loadTrustedKey, type TrustedKey } from '../../protocol/jws.ts'
import { loadAgentConfig, readConfigFile, type AgentConfig } from '../config.ts'
import { serveStatus } from '../control/socket.ts'
import type { AgentStatus } from '../control/status.ts'
import { CommandJournal } from '../dispatch/command-journal.ts'
import { DenyList } from '../dispatch/deny-list.ts'
import { Dispatcher } from '../dispatch/dispatcher.ts'
import { Engine } from '../engine/client.ts'
import { localFacts } from '../facts.ts'
import { Link } from '../link/link.ts'
import { Outbox } from '../outbox/outbox.ts'

export const defaultConfigPath = '/etc/tidegate/agent.yaml'

/** Past this the process ends, whatever still runs. */
const stopTimeoutMs = 5000

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
  const device = deviceOf(readConfigFile(tls.cert, 'tls.cert'))
  const trust = await trustedKeys(config)
  await mkdir(dataDir, { recursive: true, mode: 0o700 })

  let status: () => unknown = () => ({ device, starting: true })
  const control = await serveStatus(dataDir, () => status())
  const outbox = await Outbox.open(join(dataDir, 'outbox'), { maxBytes: config.outbox.maxBytes, log })
  const journal = await CommandJournal.open(join(dataDir, 'commands'), log)
  const denyList = new DenyList(join(dataDir, 'deny-list.json'), log)
  const engine = new Engine({ memoryMaxBytes: config.query.memory })
  const dispatcher = new Dispatcher({
    site,
    device,
    trust,
    journal,
    denyList,
    engine,
    outbox,
    limits: { timeoutMs: config.query.timeout, maxRows: config.query.maxRows, maxBytes: config.query.maxBytes },
    facts: localFacts,
    clock: () => 'unsynced',
    log,
  })
  const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
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
    envelopeHead: () => ({ sentMs: Date.now(), bootId, uptimeMs: Math.round(uptime() * 1000), clock: undefined }),
    onCommand: (payload) => dispatcher.receive(payload),
    log,
  })
  outbox.onStored = () => link.wake()

  status = (): AgentStatus => ({
    device,
    site,
    version,
    pid: process.pid,
    startedMs,
    gateway: `${gateway.host}:${gateway.port}`,
    ...link.state,
    outbox: outbox.state,
    schedule: [],
    denyList: denyList.entries(),
    commands: dispatcher.state,
  })
  dispatcher.start()
  link.start()
  log.info({ device, site, version, epoch: outbox.epoch }, 'the agent runs')

  return async () => {
    await Promise.all([link.stop(), dispatcher.stop()])
    await engine.close()
    await outbox.close()
    await journal.close()
    await new Promise((resolve) => control.close(resolve))
  }
}

function deviceOf(certPem: string): DeviceId {
  const id = /^CN=(.*)$/m.exec(new X509Certificate(certPem).subject)?.[1]
  return DeviceId.parse(id)
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
