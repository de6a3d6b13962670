// `run`: both listeners, the result log and the clockwork, until SIGTERM or SIGINT.
import { createPrivateKey } from 'node:crypto'
import { Command } from 'commander'
import type { FastifyInstance } from 'fastify'
import { readConfigFile } from '../../lib/config.ts'
import { AppError } from '../../lib/errors.ts'
import { createLog, type Logger } from '../../lib/log.ts'
import { createSigner } from '../../protocol/jws.ts'
import { createApiServer } from '../api/server.ts'
import { loadCoordinatorConfig, storePath, type CoordinatorConfig } from '../config.ts'
import { Notifier } from '../notifier.ts'
import { Centre } from '../queries/centre.ts'
import { ResultLog } from '../result-log/writer.ts'
import { SiteLinks } from '../sites/links.ts'
import { Revocations } from '../sites/revocation.ts'
import { createSitesServer } from '../sites/server.ts'
import type { Store } from '../store/store.ts'
import { openStoreThreads } from '../store/threads.ts'
import { defaultConfig, type ConfigOption } from './context.ts'

const expireEveryMs = 1_000
const saveContactsEveryMs = 10_000
const refreshRevocationsEveryMs = 1_000
const pruneEveryMs = 60_000

export function runCommand(): Command {
  return new Command('run')
    .description('serve sites and people until stopped')
    .option('--config <file>', 'configuration', defaultConfig)
    .addHelpText('after', '\nExample:\n  tidegate-coordinator run --config /etc/tidegate/coordinator.yaml')
    .action(async (options: ConfigOption) => {
      const config = loadCoordinatorConfig(options.config)
      const log = createLog('tidegate-coordinator', config.log.level)
      const stop = new AbortController()
      for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort())
      await serve(config, log, stop.signal)
    })
}

/** Files the configuration names, read and checked. Throws AppError. */
export async function loadSecrets({ sites, api, signing }: CoordinatorConfig, log: Logger) {
  const signer = await createSigner(
    readConfigFile(signing.key, 'signing.key'),
    readConfigFile(signing.pub, 'signing.pub'),
  ).catch((error: unknown) => {
    throw new AppError('SIGNING_KEY_INVALID', `signing.key and signing.pub are not an Ed25519 key pair in PEM`, {
      hint: 'tidegate certs init makes one in centre/',
      exit: 'config',
      cause: error,
    })
  })
  return {
    signer,
    sitesTls: {
      cert: readConfigFile(sites.cert, 'sites.cert'),
      key: readKey('sites.key', sites.key),
      ca: readConfigFile(sites.ca, 'sites.ca'),
    },
    apiTls: { cert: readConfigFile(api.cert, 'api.cert'), key: readKey('api.key', api.key) },
    revocations: new Revocations(sites.revocation, log),
  }
}

/**
 * Runs until `stopped`; every request that was begun is answered, and the store is closed. Throws when the store's
 * threads die: then only a restart helps.
 */
async function serve(config: CoordinatorConfig, log: Logger, stopped: AbortSignal): Promise<void> {
  const { signer, sitesTls, apiTls, revocations } = await loadSecrets(config, log)
  const { store, takeSegment, died } = await openStoreThreads(storePath(config))
  const stop = new AbortController()
  const stopping = stop.signal
  const servers: FastifyInstance[] = []
  const background: Promise<void>[] = []
  const links = new SiteLinks()
  try {
    const notifier = new Notifier()
    const centre = new Centre({ store, signer, notifier, links })
    const shared = { store, notifier, links, log, stopping }
    const sitesServer = createSitesServer({ ...shared, tls: sitesTls, takeSegment, signer, revocations })
    const apiServer = await createApiServer({
      ...shared,
      tls: apiTls,
      centre,
      requestsPerMinute: config.api.requestsPerMinute,
      version: process.env['TIDEGATE_VERSION'] ?? 'development',
    })
    servers.push(sitesServer, apiServer)
    const resultLog =
      config.resultLog && (await ResultLog.open({ path: config.resultLog.path, store, notifier, log, stopping }))
    background.push(
      resultLog?.run() ?? Promise.resolve(),
      repeat(expireEveryMs, stopping, log, 'ending queries', () => centre.expire()),
      repeat(saveContactsEveryMs, stopping, log, 'saving contacts', () => links.save(store)),
      repeat(refreshRevocationsEveryMs, stopping, log, 'reading revocation lists', () =>
        revocations.refresh(Date.now()),
      ),
      repeat(pruneEveryMs, stopping, log, 'deleting what is past its retention', () =>
        prune(store, Date.now() - config.retention, resultLog?.recordId ?? Number.MAX_SAFE_INTEGER, stopping),
      ),
    )
    await listen(sitesServer, 'sites.listen', config.sites.listen)
    await listen(apiServer, 'api.listen', config.api.listen)
    log.info({ sites: sitesServer.addresses(), api: apiServer.addresses() }, 'coordinator is ready')

    const cause = await Promise.race([once(stopped), died])
    log.info('coordinator is stopping')
    if (cause) throw new AppError('STORE_DIED', `the store ended: ${cause.message}`, { exit: 'storage', cause })
  } finally {
    stop.abort()
    // Fastify 5.12 never finishes closing a server whose listen failed.
    await Promise.all(servers.filter(({ server }) => server.listening).map((server) => server.close()))
    await Promise.all(background)
    await links
      .save(store)
      .then(() => store.close())
      .catch((error: unknown) => log.error({ err: error }, 'the store did not close'))
  }
  log.info('coordinator has stopped')
}

async function listen(server: FastifyInstance, key: string, { host, port }: { host: string; port: number }) {
  try {
    await server.listen({ host, port })
  } catch (error) {
    throw new AppError(
      'LISTEN_FAILED',
      `cannot listen on ${key}, ${host}:${port}: ${String((error as { code?: string }).code)}`,
      {
        hint: 'is another coordinator running, or is the address not of this machine?',
        exit: 'config',
        cause: error,
      },
    )
  }
}

async function prune(store: Store, olderThanMs: number, keepAfterId: number, stopping: AbortSignal): Promise<void> {
  while (!stopping.aborted && (await store.prune(olderThanMs, keepAfterId)) > 0) {
    // A batch is one short transaction; others get their turn in between.
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/** Runs `action` again and again with a pause; a failure is logged and does not end it. */
async function repeat(
  everyMs: number,
  stopping: AbortSignal,
  log: Logger,
  what: string,
  action: () => Promise<void> | void,
): Promise<void> {
  while (!stopping.aborted) {
    try {
      await action()
    } catch (error) {
      log.error({ err: error }, `${what} failed`)
    }
    await pause(everyMs, stopping)
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done, { once: true })
  })
}

function once(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(undefined)
    else signal.addEventListener('abort', () => resolve(undefined), { once: true })
  })
}

function readKey(name: string, path: string): string {
  const pem = readConfigFile(path, name)
  try {
    createPrivateKey(pem)
  } catch (error) {
    throw new AppError('PRIVATE_KEY_INVALID', `${name} (${path}) is not a private key in PEM`, {
      hint: 'name key.pem, not cert.pem; a key with a passphrase cannot be used',
      exit: 'certificate',
      cause: error,
    })
  }
  return pem
}
