// Commands from the gateway, from their signature to their answer. A command is durable before it is acknowledged, and
// done only when the outbox has its whole answer; so one that was acknowledged always ends in a named state, whatever
// happens to the process in between. One query at a time.
import type { Logger } from '../../lib/log.ts'
import type { Cell } from '../../protocol/cells.ts'
import { addresses, checkCommandTime, decodeCommand, type Command } from '../../protocol/commands.ts'
import type { DeviceId, QueryId, SiteId } from '../../protocol/ids.ts'
import type { TrustedKey } from '../../protocol/jws.ts'
import type { AnswerRecord, DeviceRecord } from '../../protocol/records.ts'
import { Refusal } from '../../protocol/refusal.ts'
import type { QueryOptions } from '../engine/client.ts'
import type { QueryResult } from '../engine/query.ts'
import type { Added } from '../outbox/outbox.ts'
import { answerParts, interruptedAnswer, type AnswerInput } from './answer.ts'
import type { CommandJournal, JournalEntry } from './command-journal.ts'
import type { DenyList } from './deny-list.ts'
import { statusOfError } from './query-failure.ts'

type QueryCommand = Extract<Command, { kind: 'query' }>

export interface DispatcherOptions {
  site: SiteId
  device: DeviceId
  trust: readonly TrustedKey[]
  journal: CommandJournal
  denyList: DenyList
  engine: { query(sql: string, options: QueryOptions): Promise<QueryResult> }
  outbox: { add(record: Omit<DeviceRecord, 'seq'>, options: { urgent: boolean }): Added }
  /** What a command may ask for at most. */
  limits: { timeoutMs: number; maxRows: number; maxBytes: number }
  facts(): QueryOptions['facts']
  clock(): 'synced' | 'unsynced'
  log: Logger
  nowMs?: () => number
}

/** Clocks of two machines that are both well may differ by so much. */
const skewMs = 300_000
/** Commands that wait; more are refused. */
const openMax = 1000
/** Refused ids that were answered: the same command sent again and again must not fill the outbox. */
const refusedMax = 1000
const storeRetryMs = 5000

export class Dispatcher {
  readonly #options: DispatcherOptions
  readonly #nowMs: () => number
  readonly #refused = new Set<string>()
  readonly #waiting: JournalEntry[] = []
  readonly #cancelled = new Set<string>()
  readonly #stopping = new AbortController()
  #running: { id: string; abort: AbortController } | undefined
  #receiving: Promise<void> = Promise.resolve()
  #turn: Promise<void> = Promise.resolve()
  #answeredCount = 0

  constructor(options: DispatcherOptions) {
    this.#options = options
    this.#nowMs = options.nowMs ?? Date.now
  }

  /** Takes up what an earlier run accepted and did not finish. */
  start(): void {
    const entries = this.#options.journal.entries()
    for (const { command } of entries) if (command.kind === 'cancel') this.#cancelled.add(command.body.queryId)
    for (const entry of entries) this.#enqueue(entry)
  }

  get state(): { waiting: number; running: string | undefined; answered: number } {
    return { waiting: this.#waiting.length, running: this.#running?.id, answered: this.#answeredCount }
  }

  /** Starts no further query and ends the running one, which the next start answers. Resolves when nothing runs any more. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    this.#running?.abort.abort()
    await this.#turn
  }

  /**
   * Takes a command's JWS. Resolves when it may be acknowledged: it is durable, was known, or is refused. Rejects when
   * the gateway should send it again.
   */
  receive(payload: Buffer): Promise<void> {
    // In turn: the same command may come over an old and a new connection at once.
    const received = this.#receiving.then(() => this.#receive(payload))
    this.#receiving = received.catch(() => undefined)
    return received
  }

  async #receive(payload: Buffer): Promise<void> {
    const { trust, site, device, journal, log } = this.#options
    let command: Command
    try {
      command = await decodeCommand(payload.toString('latin1'), trust)
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      log.warn({ reason: error.reason }, `refused a command: ${error.message}`)
      return
    }
    if (await journal.knows(command.id)) return
    const notes: string[] = []
    try {
      if (!addresses(command, site, device)) {
        throw new Refusal('not-addressed', `it is for other devices than ${device} of ${site}`)
      }
      notes.push(...this.#checkTime(command))
    } catch (error) {
      return this.#refuse(command, error as Refusal)
    }
    if (journal.openCount >= openMax) return this.#refuse(command, `more than ${openMax} commands wait on this device`)
    if (command.kind === 'cancel') this.#cancel(command.body.queryId)
    try {
      await journal.accept(command, notes)
    } catch (error) {
      log.error({ err: error, id: command.id }, 'cannot store a command')
      return this.#refuse(command, `this device cannot store the command: ${(error as Error).message}`, 'failed')
    }
    log.info({ id: command.id, kind: command.kind, authority: command.authority, by: command.by }, 'accepted a command')
    this.#enqueue({ command, notes, startedParts: undefined })
  }

  /** Throws Refusal. Returns notes for the answer where the time could not be judged. */
  #checkTime(command: Command): string[] {
    const nowMs = this.#nowMs()
    // A clock that was never set lags (design.md §8): alone it refuses nothing.
    if (nowMs < command.notBeforeMs && this.#options.clock() === 'unsynced') {
      return [`the clock of this device is not set (it says ${new Date(nowMs).toISOString()}): times were not checked`]
    }
    const { notBeforeMs, notAfterMs } = command
    const nearMs = Math.min(Math.max(nowMs, notBeforeMs), notAfterMs)
    checkCommandTime(command, Math.abs(nearMs - nowMs) <= skewMs ? nearMs : nowMs)
    return []
  }

  /** Logged, and answered where somebody waits for an answer. */
  async #refuse(command: Command, why: Refusal | string, status: 'refused' | 'failed' = 'refused'): Promise<void> {
    const { log } = this.#options
    const { id, kind } = command
    if (this.#refused.has(id)) return
    const message = typeof why === 'string' ? why : `${why.reason}: ${why.message}`
    log.warn({ id, kind, authority: command.authority }, `refused a command: ${message}`)
    this.#refused.add(id)
    for (const oldest of this.#refused) if (this.#refused.size > refusedMax) this.#refused.delete(oldest)
    if (kind !== 'query') return
    const [part] = answerParts({ queryId: id, atMs: this.#nowMs(), status, message })
    if (await this.#add(part as AnswerRecord)) return
    this.#refused.delete(id)
    throw new Error(`the refusal of ${id} could not be stored`)
  }

  #enqueue(entry: JournalEntry): void {
    this.#waiting.push(entry)
    this.#turn = this.#turn.then(() => this.#take(entry))
  }

  async #take(entry: JournalEntry): Promise<void> {
    const { journal, log } = this.#options
    const { command } = entry
    if (this.#stopping.signal.aborted) return
    this.#waiting.splice(this.#waiting.indexOf(entry), 1)
    try {
      if (command.kind === 'query') {
        const answer = await this.#answer(command, entry)
        if (answer === undefined || !(await this.#store(command, answer))) return
        this.#answeredCount++
      } else if (command.kind !== 'cancel') {
        const message = `this version of the agent knows no command '${command.kind}' (${command.id})`
        log.warn({ id: command.id }, message)
        await this.#add({ kind: 'status', severity: 'warning', atMs: this.#nowMs(), message })
      }
      this.#cancelled.delete(command.id)
      await journal.finish(command)
    } catch (error) {
      log.error({ err: error, id: command.id }, 'a command could not be finished; the next start takes it up again')
    }
  }

  /** The answer's parts; undefined when the agent stops before there is one. */
  async #answer(command: QueryCommand, entry: JournalEntry): Promise<AnswerRecord[] | undefined> {
    const { journal, denyList } = this.#options
    const { id } = command
    const end = (status: AnswerRecord['status'], message?: string) =>
      this.#parts({ queryId: id, status, ...(message === undefined ? {} : { message }), warnings: entry.notes })
    if (entry.startedParts !== undefined) {
      return interruptedAnswer(id, entry.startedParts, this.#nowMs(), 'the agent restarted while it ran')
    }
    if (this.#cancelled.has(id)) return end('cancelled', 'cancelled before it ran')
    try {
      this.#checkTime(command)
    } catch (error) {
      return end('refused', `${(error as Refusal).reason} while it waited on the device: ${(error as Refusal).message}`)
    }
    const denied = denyList.reasonFor(command.body.sql)
    if (denied !== undefined) {
      return end('denylisted', `this statement is not run for a day, because it ended the SQL engine: ${denied}`)
    }
    try {
      await journal.start(id)
    } catch (error) {
      return end('failed', `this device cannot note that it runs: ${(error as Error).message}`)
    }
    return this.#run(command, entry.notes)
  }

  async #run({ id, body }: QueryCommand, notes: readonly string[]): Promise<AnswerRecord[] | undefined> {
    const { engine, denyList, limits, facts } = this.#options
    const abort = new AbortController()
    this.#running = { id, abort }
    if (this.#stopping.signal.aborted || this.#cancelled.has(id)) abort.abort()
    const asked = {
      timeoutMs: Math.min(body.timeoutMs, limits.timeoutMs),
      maxRows: Math.min(body.maxRows, limits.maxRows),
      maxBytes: Math.min(body.maxBytes, limits.maxBytes),
    }
    try {
      const result = await engine.query(body.sql, { facts: facts(), ...asked, signal: abort.signal })
      return this.#parts({
        queryId: id,
        status: 'ok',
        columns: result.columns.map(({ name }) => name),
        rows: result.rows as Cell[][],
        truncated: result.truncated,
        warnings: [...notes, ...result.warnings],
        stats: result.stats,
      })
    } catch (error) {
      if (this.#stopping.signal.aborted) return undefined
      const { status, message, endedEngine } = statusOfError(error)
      if (endedEngine) denyList.add(body.sql, message)
      const explained = endedEngine ? `${message}. It ended the SQL engine and is not run again for a day` : message
      return this.#parts({ queryId: id, status, message: explained, warnings: notes })
    } finally {
      this.#running = undefined
    }
  }

  #parts(input: Omit<AnswerInput, 'atMs'>): AnswerRecord[] {
    return answerParts({ ...input, atMs: this.#nowMs() })
  }

  /** Puts an answer into the outbox, part by part, trying again while the disk does not take it. False when stopped. */
  async #store({ id }: QueryCommand, parts: readonly AnswerRecord[]): Promise<boolean> {
    const { journal, log } = this.#options
    if (parts.length > 1) {
      await journal.start(id, parts.length).catch((error: unknown) => {
        log.error({ err: error, id }, 'cannot note how many parts an answer has')
      })
    }
    for (const part of parts) {
      while (!(await this.#add(part))) {
        if (!(await this.#pause(storeRetryMs))) return false
      }
    }
    return true
  }

  /** True once the record is durable. */
  async #add(record: Omit<DeviceRecord, 'seq'>): Promise<boolean> {
    try {
      return await this.#options.outbox.add(record, { urgent: true }).stored
    } catch (error) {
      this.#options.log.error({ err: error }, 'the outbox does not take an answer')
      return false
    }
  }

  #cancel(queryId: QueryId): void {
    if (this.#running?.id === queryId) this.#running.abort.abort()
    else if (this.#waiting.some(({ command }) => command.id === queryId)) this.#cancelled.add(queryId)
    else this.#options.log.info({ id: queryId }, 'nothing to cancel: the query is not waiting here')
  }

  /** False when the agent stops meanwhile. */
  #pause(ms: number): Promise<boolean> {
    const { signal } = this.#stopping
    return new Promise((resolve) => {
      if (signal.aborted) return resolve(false)
      const done = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', done)
        resolve(!signal.aborted)
      }
      const timer = setTimeout(done, ms)
      signal.addEventListener('abort', done)
    })
  }
}
