// The running gateway: starts its parts in the order in which they depend on each other, and wires what one says to the
// others. Devices are served before the centre is ever tried. When a part dies, so does the whole: a supervisor starts it
// again, and everything that counts is on disk.
import { statSync } from 'node:fs'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { Backoff } from '../lib/backoff.ts'
import { AppError } from '../lib/errors.ts'
import type { Logger } from '../lib/log.ts'
import { formatDuration } from '../lib/units.ts'
import { createAdminServer, type AdminBackend } from './admin/server.ts'
import type { GatewayStatus } from './admin/status.ts'
import { ensureToken } from './admin/token.ts'
import { startBroker, type Broker } from './broker/index.ts'
import type { GatewayConfig } from './config.ts'
import { journalLimitBytes } from './disk-room.ts'
import { Dispatcher } from './dispatch/dispatcher.ts'
import { readGatewayFiles, type GatewayFiles } from './files.ts'
import { startJournal, type JournalClient } from './journal/client.ts'
import { Metrics } from './metrics.ts'
import { RevocationFile } from './revocation-file.ts'
import { StateClient } from './state/client.ts'
import { StoreClient } from './store/client.ts'
import { summarizeLedger } from './store/ledger.ts'
import type { Effects } from './store/site-store.ts'
import { lockDataDir } from './store/single-instance.ts'
import { CentreClient } from './uplink/centre-client.ts'
import { LinkStatus } from './uplink/link-status.ts'
import { Receiver } from './uplink/receiver.ts'
import { Sender } from './uplink/sender.ts'
import { defaultSegmentSize, SegmentSize } from './uplink/segment-size.ts'

/** After the store did not take answers (full disk): how long until they are tried again. */
const absorbRetryMs = 5000
/** A certificate that runs out sooner is worth a warning. */
const certificateWarningMs = 30 * 86_400_000

interface Parts {
  config: GatewayConfig
  files: GatewayFiles
  log: Logger
  lock: { release(): void }
  journal: JournalClient
  state: StateClient
  store: StoreClient
}

export class Gateway {
  readonly #parts: Parts
  readonly #startedMs = Date.now()
  readonly #link: LinkStatus
  readonly #centre: CentreClient
  readonly #metrics: Metrics
  readonly #revocationFile: RevocationFile
  readonly #dispatcher: Dispatcher
  readonly #sender: Sender
  #broker: Broker | undefined
  #admin: FastifyInstance | undefined
  #receiver: Receiver | undefined
  #lastId = 0
  #journalProblem: Error | undefined
  #absorbing: Promise<void> | undefined
  #absorbAgain = false
  #absorbTimer: NodeJS.Timeout | undefined
  #trimming: Promise<void> | undefined
  #trimmed = { historyUpTo: 0, answersUpTo: 0 }
  #isStopping = false
  #died: (reason: AppError) => void = () => undefined
  /** Resolves with the reason when a part has died and the process must end. */
  readonly died = new Promise<AppError>((resolve) => (this.#died = resolve))

  private constructor(parts: Parts) {
    this.#parts = parts
    const { config, log, store } = parts
    const { uplink, centre, site } = config
    this.#link = new LinkStatus({
      onLink: ({ isUp, lastError }) =>
        isUp
          ? log.info('the link to the centre is up')
          : log.warn({ reason: lastError }, 'the link to the centre is down'),
      onAlarm: ({ code, message, hint }, isOver) =>
        isOver ? log.info({ alarm: code }, `${code} is over`) : log.error({ alarm: code, hint }, message),
    })
    this.#centre = new CentreClient({
      url: centre.url,
      site,
      tls: { ca: centre.ca, cert: centre.cert, key: centre.key },
      connectTimeoutMs: uplink.connectTimeout,
      answerTimeoutMs: uplink.answerTimeout,
    })
    this.#revocationFile = new RevocationFile(config, parts.files, log, (list) => this.#broker?.setRevocations(list))
    this.#metrics = new Metrics(() => this.#levels())
    this.#sender = new Sender({
      store,
      centre: this.#centre,
      chain: store.chain,
      link: this.#link,
      log,
      lingerMs: uplink.linger,
      backoff: this.#newBackoff(),
      size: new SegmentSize({ ...defaultSegmentSize, startBytes: uplink.segmentBytes }),
      onReceipt: ({ lane, bytes }) => {
        this.#metrics.segmentReceipted(lane, bytes)
        this.#trim()
      },
    })
    this.#dispatcher = new Dispatcher({
      store,
      log,
      send: (device, payload) => this.#broker?.send(device, payload) ?? Promise.resolve('offline'),
      onEvents: (events) => this.#sender.wake(events),
    })
  }

  /** Starts everything. Throws AppError; then nothing is left running. */
  static async start(config: GatewayConfig, log: Logger): Promise<Gateway> {
    const undo: (() => unknown)[] = []
    try {
      const files = await readGatewayFiles(config)
      const lock = lockDataDir(config.dataDir)
      undo.unshift(() => lock.release())
      const { dataDir } = config
      const maxBytes = journalLimitBytes(dataDir, config.journal.maxBytes)
      if (maxBytes < config.journal.maxBytes) {
        log.warn({ maxBytes }, 'the disk has no room for journal.maxBytes: the journal stays smaller')
      }
      const journal = await startJournal({ path: join(dataDir, 'journal.db'), maxBytes })
      undo.unshift(() => journal.close())
      const state = await StateClient.start({ dataDir, queryMemoryBytes: config.query.memory })
      undo.unshift(() => state.close())
      const store = await StoreClient.start({
        dataDir,
        site: config.site,
        signing: files.signing,
        centreKeys: files.centreKeys,
        consentRules: config.consent.rules,
        segments: {
          stateLaneAboveBytes: config.uplink.stateLaneAbove,
          stateRoundEveryMs: config.uplink.stateRoundEvery,
          keepReceiptedBytes: config.uplink.keepReceipted,
        },
        keepQueriesMs: config.retention.queries,
      })
      undo.unshift(() => store.close())
      const gateway = new Gateway({ config, files, log, lock, journal, state, store })
      undo.unshift(() => gateway.#stopServing())
      await gateway.#serve()
      return gateway
    } catch (error) {
      for (const step of undo) await step()
      throw error
    }
  }

  /** Stops taking from devices, keeps what was taken, ends. */
  async stop(): Promise<void> {
    this.#isStopping = true
    await this.#stopServing()
    const { store, state, journal, lock } = this.#parts
    await this.#absorbing
    await this.#trimming
    await store.close()
    await state.close()
    await journal.close()
    lock.release()
  }

  /** Reads devices.crl again; devices that it revokes are cut off at once. */
  reloadRevocations(): void {
    this.#revocationFile.reload()
  }

  async #serve(): Promise<void> {
    const { config, files, log, journal, state, store } = this.#parts
    this.#watch('the journal worker', journal.ended)
    this.#watch('the state worker', state.ended)
    this.#watch('the store worker', store.ended)
    journal.onStorage((error) => {
      this.#journalProblem = error
      if (error) log.error({ err: error }, 'the journal does not take records; devices keep them')
      else log.info('the journal takes records again')
    })
    journal.onCommitted(({ lastId, answers, stored }) => {
      this.#lastId = lastId
      this.#metrics.recordsStored(stored)
      state.advance()
      if (answers > 0) this.#absorb()
      if (answers < stored) this.#sender.wake({ isUrgent: false })
    })
    state.onFolded(() => this.#trim())
    this.#lastId = (await journal.stats()).lastId

    const broker = await startBroker({
      site: config.site,
      listen: config.devices.listen,
      tls: files.devices,
      ...(files.revocations === undefined ? {} : { revocations: files.revocations }),
      limits: {
        maxConnections: config.devices.maxConnections,
        handshakesPerSecond: config.devices.handshakesPerSecond,
      },
      journal,
      log,
      observeAckMs: (ms) => this.#metrics.publishAcknowledged(ms),
      onFatal: (error) => this.#died(new AppError('BROKER_FAILED', error.message, { exit: 'storage', cause: error })),
    })
    this.#broker = broker
    broker.onReady((device) => this.#dispatcher.deviceReady(device))
    broker.onPresence((device, state) => this.#dispatcher.presenceChanged({ device, state, atMs: Date.now() }))
    this.#revocationFile.watch()
    this.#admin = createAdminServer(this.#backend(), ensureToken(config.dataDir), log)
    await this.#admin.listen(config.admin.listen).catch((error: unknown) => {
      const { host, port } = config.admin.listen
      throw new AppError('LISTEN_FAILED', `admin.listen: cannot listen on ${host}:${port}`, {
        exit: 'peer',
        hint: 'another program has the port; choose another one',
        cause: error,
      })
    })
    log.info(
      { devices: config.devices.listen, admin: config.admin.listen, site: config.site, chain: store.chain },
      'gateway is serving',
    )

    this.#absorb()
    this.#dispatcher.apply(store.initialEffects)
    this.#sender.start()
    this.#receiver = new Receiver({
      centre: this.#centre,
      cursor: await store.call('commandCursor'),
      link: this.#link,
      log,
      waitMs: config.uplink.pollWait,
      backoff: this.#newBackoff(),
      accept: async (commands, cursor) => {
        this.#changed(await store.call('acceptCentre', commands, cursor))
        this.#metrics.commandsReceived(commands.length)
      },
    })
    this.#receiver.start()
  }

  async #stopServing(): Promise<void> {
    clearTimeout(this.#absorbTimer)
    this.#revocationFile.close()
    this.#dispatcher.stop()
    await this.#broker?.close()
    await this.#centre.close()
    await Promise.all([this.#sender.stop(), this.#receiver?.stop()])
    await this.#admin?.close()
  }

  #newBackoff(): Backoff {
    return new Backoff({ baseMs: 1000, maxMs: this.#parts.config.uplink.retryMax })
  }

  #watch(what: string, ended: Promise<Error | undefined>): void {
    void ended.then((error) => {
      if (this.#isStopping) return
      this.#died(
        new AppError('WORKER_ENDED', `${what} has ended${error ? `: ${error.message}` : ''}`, {
          exit: 'storage',
          hint: 'the log before this line says why; the gateway must be started again',
          cause: error,
        }),
      )
    })
  }

  /** A change in the store: something to dispatch, and events for the centre. */
  #changed(effects: Effects): void {
    this.#dispatcher.apply(effects)
    this.#sender.wake({ isUrgent: true })
  }

  /** Moves queries on by committed answers, one run at a time; what comes meanwhile is in the next. */
  #absorb(): void {
    if (this.#absorbing) {
      this.#absorbAgain = true
      return
    }
    const { store, log } = this.#parts
    this.#absorbAgain = false
    this.#absorbing = store
      .call('absorbAnswers')
      .then(
        () => this.#sender.wake({ isUrgent: true }),
        (error: unknown) => {
          if (this.#isStopping) return
          log.error({ err: error }, 'the store does not take answers; trying again')
          this.#absorbTimer = setTimeout(() => this.#absorb(), absorbRetryMs)
        },
      )
      .finally(() => {
        this.#absorbing = undefined
        if (this.#absorbAgain && !this.#isStopping) this.#absorb()
      })
  }

  /** Lets the journal drop what the centre has a copy of and the state has taken in. */
  #trim(): void {
    if (this.#trimming || this.#isStopping) return
    const { store, state, journal, log } = this.#parts
    const run = async () => {
      const { answersUpTo, historyUpTo } = await store.call('trimmable')
      const upTo = { answersUpTo, historyUpTo: Math.min(historyUpTo, state.foldedUpTo) }
      if (upTo.answersUpTo === this.#trimmed.answersUpTo && upTo.historyUpTo === this.#trimmed.historyUpTo) return
      const deleted = await journal.trim(upTo)
      if (deleted > 0) log.debug({ deleted, ...upTo }, 'journal trimmed')
      this.#trimmed = upTo
    }
    this.#trimming = run()
      .catch((error: unknown) => {
        if (!this.#isStopping)
          log.error({ err: error }, 'the journal could not be trimmed; the next receipt tries again')
      })
      .finally(() => (this.#trimming = undefined))
  }

  #backend(): AdminBackend {
    const { config, state, store } = this.#parts
    return {
      problems: () => this.#problems(),
      status: async () => ({ ...(await this.#levels()), ledger: summarizeLedger(await store.call('ledger')) }),
      devices: () => store.call('presenceList'),
      ledger: async (device) => {
        const epochs = await store.call('ledger', device)
        return { summary: summarizeLedger(epochs), epochs }
      },
      queries: (limit) => store.call('queries', { limit }),
      query: (id) => store.call('query', id),
      answer: (id, device) => store.call('answer', id, device),
      audit: (options) => store.call('audit', options),
      verifyAudit: () => store.call('verifyAudit'),
      siteSql: (sql, { maxRows = config.query.maxRows, timeoutMs = config.query.timeout }) =>
        state.query(sql, {
          maxRows: Math.min(maxRows, config.query.maxRows),
          maxBytes: config.query.maxBytes,
          timeoutMs: Math.min(timeoutMs, config.query.timeout),
        }),
      plantQuery: async (query) => {
        const { id, ...effects } = await store.call('plantQuery', query)
        this.#changed(effects)
        return { id }
      },
      decide: async (id, action, by, reason) => {
        this.#changed(await store.call('decide', id, action, by, reason))
      },
      metrics: () => this.#metrics.render(),
    }
  }

  #problems(): string[] {
    const { store } = this.#parts
    return [
      ...(this.#journalProblem ? [`the journal cannot store records: ${this.#journalProblem.message}`] : []),
      ...(store.problem ? [store.problem.message] : []),
    ]
  }

  #warnings(nowMs: number): string[] {
    const { files } = this.#parts
    const { revocations, certificates } = files
    const warnings = certificates
      .filter(({ notAfterMs }) => notAfterMs - nowMs < certificateWarningMs)
      .map(({ what, notAfterMs }) =>
        notAfterMs < nowMs
          ? `${what} has expired ${formatDuration(nowMs - notAfterMs)} ago`
          : `${what} expires in ${formatDuration(notAfterMs - nowMs)}`,
      )
    if (revocations?.isStale(nowMs)) {
      warnings.push(
        `devices.crl should have been replaced ${formatDuration(nowMs - revocations.nextUpdateMs)} ago; it still counts`,
      )
    }
    return warnings
  }

  async #levels(): Promise<Omit<GatewayStatus, 'ledger'>> {
    const { config, state, store } = this.#parts
    const [backlog, presence, queries] = await Promise.all([
      store.call('backlog', state.foldedUpTo),
      store.call('presenceList'),
      store.call('queryCounts'),
    ])
    const journalPath = join(config.dataDir, 'journal.db')
    return {
      site: config.site,
      version: process.env['TIDEGATE_VERSION'] ?? 'unbuilt',
      startedMs: this.#startedMs,
      chain: store.chain,
      problems: this.#problems(),
      warnings: this.#warnings(Date.now()),
      devices: { connected: this.#broker?.connected().length ?? 0, known: presence.length },
      refused: this.#broker?.stats().refused ?? {},
      journal: { lastId: this.#lastId, fileBytes: sizeOf(journalPath) + sizeOf(`${journalPath}-wal`) },
      uplink: { ...this.#link.snapshot, url: config.centre.url, backlog },
      queries,
    }
  }
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}
