// The store's core, synchronous but for signatures: site.db with all that stands in it, each public method one
// transaction. Lives in the store worker; tests drive it without a thread.
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { AppError } from '../../lib/errors.ts'
import { migrationsFolder } from '../../lib/program-file.ts'
import { openDatabase, openReadOnly, type Database } from '../../lib/sqlite/open.ts'
import { decodeCommand, encodeCommand, type Command, type CommandInput } from '../../protocol/commands.ts'
import type { DeviceId, Epoch, QueryId, SiteId } from '../../protocol/ids.ts'
import { createSigner, loadTrustedKey, type Signer, type TrustedKey } from '../../protocol/jws.ts'
import { decodeReceipt } from '../../protocol/receipts.ts'
import type { AnswerRecord } from '../../protocol/records.ts'
import { Refusal } from '../../protocol/refusal.ts'
import { protocolVersion } from '../../protocol/version.ts'
import { appendAudit, listAudit, verifyAudit } from '../audit/audit-log.ts'
import type { ConsentRule } from '../dispatch/consent.ts'
import { LifeCycle, type Dispatch } from '../dispatch/life-cycle.ts'
import { countQueries, listQueries, readAnswer, readQuery } from '../dispatch/read.ts'
import { openJournalReader, type JournalReader } from '../journal/read.ts'
import { BacklogReader, type Backlog } from './backlog.ts'
import { readCursor, writeCursor } from './cursors.ts'
import { readLedger } from './ledger.ts'
import { changePresence, listPresence, markAllGone, type PresenceChange } from './presence.ts'
import { Segments, type SegmentsOptions } from './segments.ts'

export interface StoreOptions {
  /** Folder of site.db, beside journal.db and state.db, which exist. */
  dataDir: string
  site: SiteId
  /** PEM: signs segments and the plant's own commands. */
  signing: { key: string; pub: string }
  /** PEM of the centre's keys: commands and receipts. */
  centreKeys: readonly string[]
  consentRules: readonly ConsentRule[]
  segments: Omit<SegmentsOptions, 'site' | 'signer'>
  /** Commands and answers are forgotten so long after their validity. */
  keepQueriesMs: number
}

/** What a change means for dispatch. */
export interface Effects {
  /** Devices that may have something to be sent. */
  ready: DeviceId[]
  /** When tick must be called next. */
  nextDueMs: number | undefined
}

export interface PlantQuery {
  sql: string
  devices: '*' | DeviceId[]
  validForMs: number
  by?: string | undefined
  why?: string | undefined
  costClass?: 'light' | 'normal' | 'heavy' | undefined
  timeoutMs?: number | undefined
  maxRows?: number | undefined
}

const answersPerRead = 200

export class SiteStore {
  readonly segments: Segments
  readonly #site: Database.Database
  readonly #journalDatabase: Database.Database
  readonly #state: Database.Database
  readonly #journal: JournalReader
  readonly #backlog: BacklogReader
  readonly #options: StoreOptions
  readonly #signer: Signer
  readonly #centre: readonly TrustedKey[]
  readonly #life: LifeCycle
  readonly #now: () => number

  private constructor(options: StoreOptions, signer: Signer, centre: readonly TrustedKey[], now: () => number) {
    const { dataDir, site } = options
    this.#options = options
    this.#signer = signer
    this.#centre = centre
    this.#now = now
    this.#site = openDatabase(join(dataDir, 'site.db'), { migrations: migrationsFolder('gateway', 'store') })
    this.#journalDatabase = openReadOnly(join(dataDir, 'journal.db'))
    this.#state = openReadOnly(join(dataDir, 'state.db'))
    this.#journal = openJournalReader(join(dataDir, 'journal.db'))
    this.#backlog = new BacklogReader(this.#site, this.#journalDatabase)
    const chain = chainOf(this.#site, site)
    this.segments = new Segments(
      { site: this.#site, journal: this.#journal, backlog: this.#backlog, state: this.#state },
      chain,
      { ...options.segments, site, signer },
    )
    const journalDevices = this.#journalDatabase.prepare('SELECT name FROM device').pluck()
    this.#life = new LifeCycle(this.#site, {
      consentRules: options.consentRules,
      knownDevices: () => [
        ...new Set([...listPresence(this.#site).map((row) => row.device), ...(journalDevices.all() as string[])]),
      ],
    })
  }

  /** Opens or makes site.db. Throws AppError STORE_UNUSABLE, or SITE_CHANGED for another site's data. */
  static async open(options: StoreOptions, now: () => number = Date.now): Promise<SiteStore> {
    const signer = await createSigner(options.signing.key, options.signing.pub)
    const centre = await Promise.all(options.centreKeys.map((pem) => loadTrustedKey(pem, 'centre')))
    const store = new SiteStore(options, signer, centre, now)
    store.segments.restartWhenJournalIsNew()
    store.#write(() => {
      markAllGone(store.#site, now())
      store.#life.reviewAll(now())
    })
    return store
  }

  get chain(): Epoch {
    return this.segments.chain
  }

  presence(changes: readonly PresenceChange[]): Effects {
    return this.#write(() => {
      for (const change of changes) {
        if (changePresence(this.#site, change)) this.#life.deviceIsNew(change.device, change.atMs)
      }
      return this.#effects([])
    })
  }

  /** Commands of the centre, in order: verified, stored, and the position in its queue moved, in one transaction. */
  async acceptCentre(commands: readonly { n: number; jws: string }[], cursor: number): Promise<Effects> {
    const checked = await Promise.all(commands.map(({ jws }) => this.#check(jws)))
    return this.#write(() => {
      const ready = checked.flatMap((result) => {
        if ('command' in result) return this.#accept(result.command, result.jws)
        this.#life.refuse(result.subject, result.reason, result.message, this.#now())
        return []
      })
      writeCursor(this.#site, 'commands', cursor)
      return this.#effects(ready)
    })
  }

  /** The plant's own live query. Throws Refusal when it does not fit the protocol. */
  async plantQuery(query: PlantQuery): Promise<Effects & { id: string }> {
    const nowMs = this.#now()
    const id = `q-${randomBytes(9).toString('base64url')}` as QueryId
    const { sql, costClass, timeoutMs, maxRows, by, why } = query
    const effects = await this.#plantCommand({
      ...this.#plantHead(id, nowMs, query.validForMs, query.devices),
      kind: 'query',
      ...(by === undefined ? {} : { by }),
      ...(why === undefined ? {} : { why }),
      body: {
        sql,
        ...(costClass === undefined ? {} : { costClass }),
        ...(timeoutMs === undefined ? {} : { timeoutMs }),
        ...(maxRows === undefined ? {} : { maxRows }),
      },
    })
    return { id, ...effects }
  }

  /** A person allows or vetoes. A veto also calls back what devices already have. Throws AppError. */
  async decide(id: string, action: 'allow' | 'veto', by: string, reason?: string): Promise<Effects> {
    const nowMs = this.#now()
    const effects = this.#write(() => this.#effects(this.#life.decide(id, action, by, reason, nowMs)))
    if (action === 'allow' || !this.#life.isWithDevices(id)) return effects
    return this.#plantCommand({
      ...this.#plantHead(`c-${randomBytes(9).toString('base64url')}`, nowMs, 7 * 86_400_000, '*'),
      kind: 'cancel',
      by,
      body: { queryId: id as QueryId },
    })
  }

  /** What these connected devices are to be sent now. They count as dispatched to from here on. */
  take(devices: readonly DeviceId[]): Dispatch[] {
    return this.#write(() => this.#life.take(devices, this.#now()))
  }

  acknowledged(list: readonly { commandId: string; device: DeviceId }[]): Effects {
    return this.#write(() => {
      for (const { commandId, device } of list) this.#life.acknowledged(commandId, device, this.#now())
      return this.#effects([])
    })
  }

  /** Moves queries on by the answers that the journal has committed. Returns how many records it read. */
  absorbAnswers(): number {
    let count = 0
    for (;;) {
      const records = this.#journal.after(readCursor(this.#site, 'answersSeen'), {
        only: 'answers',
        limit: answersPerRead,
      })
      const last = records.at(-1)
      if (last === undefined) return count
      count += records.length
      this.#write(() => {
        const answers = records.map(({ id, device, body, receivedAtMs }) => ({
          journalId: id,
          device,
          receivedAtMs,
          record: JSON.parse(body) as AnswerRecord,
        }))
        this.#life.answered(answers, this.#now())
        writeCursor(this.#site, 'answersSeen', last.id)
      })
    }
  }

  tick(): Effects {
    return this.#write(() => {
      const ready = this.#life.tick(this.#now())
      this.#life.prune(this.#now() - this.#options.keepQueriesMs)
      return this.#effects(ready)
    })
  }

  /**
   * Verifies a receipt and lets go of what it covers. Throws Refusal or AppError RECEIPT_WRONG. Returns the number of
   * the last segment it covers.
   */
  async receipt(jws: string): Promise<number> {
    const receipt = await decodeReceipt(jws, this.#options.site, this.#centre)
    this.segments.commitReceipt(receipt, jws)
    return receipt.upTo
  }

  /** Up to which ids the journal may let records go: the centre has them and their queries have moved on. */
  trimmable(): { answersUpTo: number; historyUpTo: number } {
    const { answers, history } = this.segments.receiptedUpTo()
    return { answersUpTo: Math.min(answers, readCursor(this.#site, 'answersSeen')), historyUpTo: history }
  }

  /** What waits to go up, and to be folded into the state after foldedUpTo. */
  backlog(foldedUpTo: number): Backlog {
    return this.#backlog.read(foldedUpTo)
  }

  /** Last number of the centre's queue that is stored here. */
  commandCursor(): number {
    return readCursor(this.#site, 'commands')
  }

  ledger(device?: string) {
    return readLedger(this.#site, this.#journal.ledger(device))
  }

  presenceList() {
    return listPresence(this.#site)
  }

  queries(options: { limit: number }) {
    return listQueries(this.#site, options)
  }

  queryCounts() {
    return countQueries(this.#site)
  }

  query(id: string) {
    return readQuery(this.#site, id)
  }

  answer(id: string, device: string) {
    return readAnswer(this.#site, id, device)
  }

  audit(options: Parameters<typeof listAudit>[1]) {
    return listAudit(this.#site, options)
  }

  verifyAudit() {
    return verifyAudit(this.#site)
  }

  close(): void {
    this.#journal.close()
    for (const database of [this.#journalDatabase, this.#state, this.#site]) database.close()
  }

  /** A command that our own code cannot take must not hold up those after it. */
  #accept(command: Command, jws: string): DeviceId[] {
    const nowMs = this.#now()
    try {
      return this.#site.transaction(() => this.#life.accept(command, jws, nowMs))()
    } catch (error) {
      if (String((error as { code?: unknown }).code).startsWith('SQLITE_')) throw error
      this.#life.refuse(command.id, 'failed-here', (error as Error).message, nowMs)
      return []
    }
  }

  async #check(
    jws: string,
  ): Promise<{ command: Command; jws: string } | { subject: string | undefined; reason: string; message: string }> {
    let command: Command
    try {
      command = await decodeCommand(jws, this.#centre)
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      return { subject: undefined, reason: error.reason, message: error.message }
    }
    if (command.target.site === this.#options.site) return { command, jws }
    const message = `a command for site ${command.target.site}`
    return { subject: command.id, reason: 'wrong-site', message }
  }

  async #plantCommand(command: CommandInput): Promise<Effects> {
    const jws = await encodeCommand(command, this.#signer)
    const plant: TrustedKey = await loadTrustedKey(this.#options.signing.pub, 'plant')
    const decoded = await decodeCommand(jws, [plant])
    return this.#write(() => this.#effects(this.#life.accept(decoded, jws, this.#now())))
  }

  #plantHead(id: string, nowMs: number, validForMs: number, devices: '*' | DeviceId[]) {
    return {
      v: protocolVersion,
      id,
      authority: 'plant' as const,
      issuedAtMs: nowMs,
      notBeforeMs: nowMs,
      notAfterMs: nowMs + validForMs,
      target: { site: this.#options.site, devices },
    }
  }

  #effects(ready: readonly DeviceId[]): Effects {
    return { ready: [...new Set(ready)], nextDueMs: this.#life.nextDueMs() }
  }

  #write<T>(run: () => T): T {
    return this.#site.transaction(run).immediate()
  }
}

/** The chain's id: made with the database, so that another database never continues its numbers. */
function chainOf(database: Database.Database, site: SiteId): Epoch {
  return database
    .transaction(() => {
      const read = database.prepare('SELECT value FROM setting WHERE key = ?').pluck()
      const write = database.prepare('INSERT INTO setting (key, value) VALUES (?, ?)')
      const known = read.get('site') as string | undefined
      if (known !== undefined && known !== site) {
        throw new AppError('SITE_CHANGED', `this data belongs to site ${known}, the configuration says ${site}`, {
          exit: 'config',
          hint: 'set site back, or give the new site an empty dataDir',
        })
      }
      if (known !== undefined) return read.get('chain') as Epoch
      const chain = randomBytes(12).toString('base64url') as Epoch
      write.run('site', site)
      write.run('chain', chain)
      appendAudit(database, { atMs: Date.now(), actor: 'gateway', action: 'store-made', detail: { site, chain } })
      return chain
    })
    .immediate()
}
