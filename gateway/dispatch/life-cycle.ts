// The life of a command at the site, device by device, from its arrival to a final state (design §6, protocol/query-states.ts).
// Invariants: a state only moves as advances() allows, and each move is one row here, one event for the centre and one
// audit line, in the caller's transaction; after tick(now) no device is short of a final state past notAfter.
import type { Command } from '../../protocol/commands.ts'
import type { DeviceId, QueryId } from '../../protocol/ids.ts'
import { advances, isFinal, type QueryState } from '../../protocol/query-states.ts'
import type { AnswerRecord } from '../../protocol/records.ts'
import type { QueryItem } from '../../protocol/segments.ts'
import { SeqRanges } from '../../protocol/seq-ranges.ts'
import { AppError } from '../../lib/errors.ts'
import type { Database } from '../../lib/sqlite/open.ts'
import { appendAudit, type AuditActor } from '../audit/audit-log.ts'
import { addToOutbox } from '../store/outbox.ts'
import { decideConsent, nextWindowEdgeMs, type ConsentAction, type ConsentRule } from './consent.ts'
import { prepareLifeCycle, type CommandRow, type DeliveryRow, type LifeCycleSql } from './life-cycle-sql.ts'

export interface LifeCycleOptions {
  consentRules: readonly ConsentRule[]
  /** Every device that has ever been connected or sent a record: what '*' stands for. */
  knownDevices: () => readonly string[]
}

/** A command to hand to the broker. */
export interface Dispatch {
  commandId: string
  device: DeviceId
  jws: string
}

export interface DeviceAnswer {
  device: string
  record: AnswerRecord
  receivedAtMs: number
  /** The record's id in the journal: the news of it does not reach the centre before the record. */
  journalId: number
}

/** States in which a device has not got the command yet. */
const waiting: readonly QueryState[] = ['at-site', 'awaiting-consent']

export class LifeCycle {
  readonly #database: Database.Database
  readonly #options: LifeCycleOptions
  readonly #sql: LifeCycleSql

  constructor(database: Database.Database, options: LifeCycleOptions) {
    this.#database = database
    this.#options = options
    this.#sql = prepareLifeCycle(database)
  }

  /**
   * Takes a verified command in. A second arrival of the same id changes nothing. Returns the devices that may be sent
   * something now.
   */
  accept(command: Command, jws: string, nowMs: number): DeviceId[] {
    if (this.#command(command.id) !== undefined) return []
    const { target, authority, kind } = command
    const query = command.kind === 'query' ? command.body : undefined
    this.#sql.insertCommand.run({
      id: command.id,
      authority,
      kind,
      jws,
      targets: target.devices === '*' ? '*' : JSON.stringify([...new Set(target.devices)]),
      sql: query?.sql ?? null,
      costClass: query?.costClass ?? null,
      cancels: command.kind === 'cancel' ? command.body.queryId : null,
      askedBy: command.by ?? null,
      why: command.why ?? null,
      nowMs,
      notBeforeMs: command.notBeforeMs,
      notAfterMs: command.notAfterMs,
    })
    this.#audit(authority, 'command-received', command.id, nowMs, {
      kind,
      targets: target.devices === '*' ? '*' : target.devices.length,
      validUntilMs: command.notAfterMs,
      ...(command.by === undefined ? {} : { by: command.by }),
      ...(command.why === undefined ? {} : { why: command.why }),
      ...(query === undefined ? {} : { sql: query.sql, costClass: query.costClass }),
    })
    if (command.kind === 'cancel') return this.#cancel(command.id, command.body.queryId, nowMs)
    this.#tell(this.#need(command.id), undefined, 'at-site', nowMs)
    const devices = target.devices === '*' ? this.#options.knownDevices() : [...new Set(target.devices)]
    for (const device of devices) this.#addDevice(this.#need(command.id), device, nowMs)
    return this.#review(command.id, nowMs, { isFirst: true })
  }

  /** Notes a command that was not taken in, and why. */
  refuse(subject: string | undefined, reason: string, message: string, nowMs: number): void {
    this.#audit('centre', 'command-refused', subject, nowMs, { reason, message })
  }

  /** A device is here for the first time: open commands for '*' are for it too. */
  deviceIsNew(device: DeviceId, nowMs: number): void {
    for (const command of this.#sql.openForAll.all({ nowMs }) as CommandRow[]) this.#addDevice(command, device, nowMs)
  }

  /** What these devices are to be sent now, oldest command first. Each is `dispatched` from here on. */
  take(devices: readonly DeviceId[], nowMs: number): Dispatch[] {
    const taken: Dispatch[] = []
    const first = new Map<string, string[]>()
    for (const device of devices) {
      for (const row of this.#sql.sendable.all({ device, nowMs }) as { id: string; jws: string; state: QueryState }[]) {
        taken.push({ commandId: row.id, device, jws: row.jws })
        if (row.state === 'dispatched') continue
        this.#move(this.#need(row.id), device, 'dispatched', nowMs)
        const others = first.get(row.id)
        if (others) others.push(device)
        else first.set(row.id, [device])
      }
    }
    for (const [id, names] of first) this.#audit('gateway', 'dispatched', id, nowMs, listOf(names))
    return taken
  }

  /** The device has acknowledged the command: it is its own to run now. */
  acknowledged(commandId: string, device: DeviceId, nowMs: number): void {
    const command = this.#command(commandId)
    if (command === undefined) return
    if (command.kind === 'query') return void this.#move(command, device, 'running', nowMs)
    this.#move(command, device, 'answered', nowMs)
    if (command.cancels !== null) {
      const query = this.#command(command.cancels)
      const delivery = this.#delivery(command.cancels, device)
      // It never acknowledged the query, so it will not report that it ended it.
      if (query !== undefined && delivery?.state === 'dispatched') {
        this.#move(query, device, 'failed', nowMs, 'cancelled')
        this.#settle(query.id, nowMs)
      }
    }
    this.#settle(commandId, nowMs)
  }

  /** Counts the parts of answers in; a device whose parts are complete is `answered` or `failed`. */
  answered(answers: readonly DeviceAnswer[], nowMs: number): void {
    const done = new Map<string, Record<string, unknown>[]>()
    for (const answer of answers) {
      const { queryId } = answer.record
      const command = this.#command(queryId)
      const delivery = this.#delivery(queryId, answer.device)
      if (command?.kind !== 'query' || delivery === undefined) continue
      const summary = this.#countPart(command, delivery, answer)
      if (summary === undefined) continue
      const others = done.get(queryId)
      if (others) others.push(summary)
      else done.set(queryId, [summary])
    }
    for (const [id, devices] of done) {
      this.#audit('gateway', 'answered', id, nowMs, {
        count: devices.length,
        rows: devices.reduce((sum, device) => sum + Number(device['rows']), 0),
        devices: devices.slice(0, 100),
      })
      this.#settle(id, nowMs)
    }
  }

  /** A person decides. Throws AppError QUERY_UNKNOWN or QUERY_CLOSED. Returns the devices that may be sent it now. */
  decide(id: string, action: 'allow' | 'veto', by: string, reason: string | undefined, nowMs: number): DeviceId[] {
    const command = this.#command(id)
    if (command === undefined) throw new AppError('QUERY_UNKNOWN', `this gateway knows no query ${id}`)
    if (command.due_ms === null || nowMs > command.not_after_ms) {
      throw new AppError('QUERY_CLOSED', `there is nothing left to decide about ${id}`, {
        hint: `tidegate-gateway queries ${id} shows where each device stands`,
      })
    }
    this.#audit('plant', `consent-${action}`, id, nowMs, { by, ...(reason === undefined ? {} : { reason }) })
    this.#setConsent(command, action, reason ?? (action === 'veto' ? `vetoed by ${by}` : null), by, nowMs)
    return this.#reschedule(id, nowMs)
  }

  /**
   * Looks at every command whose time has come: begins, asks the rules again, expires. Returns the devices that may be
   * sent something now.
   */
  tick(nowMs: number): DeviceId[] {
    const due = this.#sql.due.all({ nowMs }) as CommandRow[]
    return [
      ...new Set(
        due.flatMap((command) => {
          if (nowMs <= command.not_after_ms) return this.#review(command.id, nowMs)
          this.#expire(command, nowMs)
          return []
        }),
      ),
    ]
  }

  /** After a start, with rules that may have changed: every open command is looked at again. */
  reviewAll(nowMs: number): void {
    for (const { id } of this.#sql.open.all() as CommandRow[]) this.#review(id, nowMs)
    this.tick(nowMs)
  }

  /** Whether the query is with some device now, so that only a cancel can still stop it. */
  isWithDevices(id: string): boolean {
    return (this.#sql.deliveries.all(id) as DeliveryRow[]).some(
      (row) => row.state === 'dispatched' || row.state === 'running',
    )
  }

  /** When tick must run next; undefined when nothing waits for time to pass. */
  nextDueMs(): number | undefined {
    return (this.#sql.nextDue.get() as { due: number | null }).due ?? undefined
  }

  /** Forgets commands that ended long ago, with their answers. */
  prune(endedBeforeMs: number): void {
    this.#sql.prune.run(endedBeforeMs)
  }

  #cancel(cancelId: string, queryId: QueryId, nowMs: number): DeviceId[] {
    const cancel = this.#need(cancelId)
    const query = this.#command(queryId)
    if (query === undefined || (cancel.authority !== 'plant' && cancel.authority !== query.authority)) {
      const why = query === undefined ? 'no such query here' : `it is a query of the ${query.authority}`
      this.#audit('gateway', 'cancel-refused', queryId, nowMs, { cancel: cancelId, reason: why })
      this.#sql.setDue.run({ id: cancelId, dueMs: null })
      return []
    }
    this.#sql.setCancelled.run({ id: queryId, nowMs })
    for (const row of this.#sql.deliveries.all(queryId) as DeliveryRow[]) {
      if (waiting.includes(row.state)) this.#move(query, row.device, 'failed', nowMs, 'cancelled')
      else if (!isFinal(row.state)) this.#addDevice(cancel, row.device, nowMs)
    }
    this.#settle(queryId, nowMs)
    return this.#reschedule(cancelId, nowMs)
  }

  #addDevice(command: CommandRow, device: string, nowMs: number): void {
    const { changes } = this.#sql.insertDelivery.run({ id: command.id, device, nowMs })
    if (changes === 0) return
    this.#tell(command, device as DeviceId, 'at-site', nowMs)
    if (command.consent === 'ask') this.#move(command, device as DeviceId, 'awaiting-consent', nowMs)
    if (command.consent === 'veto') this.#move(command, device as DeviceId, 'vetoed', nowMs, command.consent_reason)
  }

  /** Asks the rules, unless a person or a veto has settled it. */
  #review(id: string, nowMs: number, { isFirst = false } = {}): DeviceId[] {
    const command = this.#need(id)
    if (command.consent_by === null && command.consent !== 'veto' && command.cancels === null) {
      const decision = decideConsent(
        this.#options.consentRules,
        { authority: command.authority, kind: command.kind, costClass: command.cost_class },
        nowMs,
      )
      if (isFirst || decision.action !== command.consent) {
        this.#audit('gateway', 'consent-rule', id, nowMs, { ...decision })
        const reason = decision.reason ?? (decision.rule === undefined ? null : `by rule ${decision.rule} of the plant`)
        this.#setConsent(command, decision.action, reason, null, nowMs)
      }
    }
    return this.#reschedule(id, nowMs)
  }

  #setConsent(
    before: CommandRow,
    action: ConsentAction,
    reason: string | null,
    by: string | null,
    nowMs: number,
  ): void {
    this.#sql.setConsent.run({ id: before.id, action, reason, by })
    if (action !== 'ask' && action !== 'veto') return
    const command = this.#need(before.id)
    const to = action === 'ask' ? 'awaiting-consent' : 'vetoed'
    this.#tell(command, undefined, to, nowMs, reason)
    for (const row of this.#sql.deliveries.all(command.id) as DeliveryRow[]) {
      if (waiting.includes(row.state)) this.#move(command, row.device, to, nowMs, reason)
    }
  }

  /** Sets when the command is due next, and returns the devices that can have it now. */
  #reschedule(id: string, nowMs: number): DeviceId[] {
    const command = this.#need(id)
    const moments = [command.not_after_ms + 1]
    if (nowMs < command.not_before_ms) moments.push(command.not_before_ms)
    const edgeMs = nextWindowEdgeMs(this.#options.consentRules, nowMs)
    if (edgeMs !== undefined && command.consent_by === null) moments.push(edgeMs)
    this.#sql.setDue.run({ id, dueMs: Math.min(...moments) })
    this.#settle(id, nowMs)
    if (command.consent !== 'allow' || nowMs < command.not_before_ms) return []
    return (this.#sql.deliveries.all(id) as DeliveryRow[])
      .filter((row) => waiting.includes(row.state) || row.state === 'dispatched')
      .map((row) => row.device)
  }

  /** Nothing more to wait for: every device is final and, past a veto or a cancel or for named devices, none can join. */
  #settle(id: string, nowMs: number): void {
    const command = this.#need(id)
    if (command.due_ms === null) return
    const canGrow = command.targets === '*' && command.kind !== 'cancel' && command.cancelled_ms === null
    if (canGrow && command.consent !== 'veto' && nowMs <= command.not_after_ms) return
    if ((this.#sql.deliveries.all(id) as DeliveryRow[]).every((row) => isFinal(row.state))) {
      this.#sql.setDue.run({ id, dueMs: null })
    }
  }

  #expire(command: CommandRow, nowMs: number): void {
    const rows = this.#sql.deliveries.all(command.id) as DeliveryRow[]
    const known = new Set(this.#options.knownDevices())
    const ended: string[] = []
    for (const row of rows) {
      if (isFinal(row.state)) continue
      const [state, reason] = expiryOf(command, row, known.has(row.device))
      this.#move(command, row.device, state, nowMs, reason)
      ended.push(row.device)
    }
    if (rows.length === 0 && command.cancels === null && command.cancelled_ms === null) {
      this.#tell(command, undefined, 'expired', nowMs, 'this site had no device while it was valid')
    }
    if (ended.length > 0) this.#audit('gateway', 'expired', command.id, nowMs, listOf(ended))
    this.#sql.setDue.run({ id: command.id, dueMs: null })
  }

  #countPart(command: CommandRow, delivery: DeliveryRow, answer: DeviceAnswer): Record<string, unknown> | undefined {
    const { record, device, receivedAtMs, journalId } = answer
    const seen = new SeqRanges(JSON.parse(delivery.parts_seen) as [number, number][])
    if (!seen.add(record.part)) return undefined
    const status = record.part === record.parts - 1 ? record.status : delivery.status
    const message = record.message ?? delivery.message
    const rows = delivery.row_count + (record.rows[0]?.length ?? 0)
    this.#sql.setParts.run({
      id: command.id,
      device,
      seen: JSON.stringify(seen.toJSON()),
      parts: record.parts,
      status,
      message,
      rows,
    })
    if (command.authority === 'plant') {
      this.#sql.insertAnswer.run({ id: command.id, device, part: record.part, record: JSON.stringify(record) })
    }
    if (seen.count < record.parts || status === null) return undefined
    const ok = status === 'ok'
    const reason = ok
      ? null
      : status === 'cancelled'
        ? 'cancelled'
        : `${status}${message === null ? '' : `: ${message}`}`
    this.#move(command, delivery.device, ok ? 'answered' : 'failed', receivedAtMs, reason, journalId)
    return { device, status, rows }
  }

  #move(
    command: CommandRow,
    device: DeviceId,
    to: QueryState,
    atMs: number,
    reason: string | null = null,
    afterAnswer = 0,
  ): void {
    const from = this.#delivery(command.id, device)?.state
    if (from === undefined || !advances(from, to)) return
    const shortReason = reason === null ? null : reason.slice(0, 1024)
    this.#sql.move.run({ id: command.id, device, to, reason: shortReason, atMs, isFinal: isFinal(to) ? 1 : 0 })
    this.#tell(command, device, to, atMs, shortReason, afterAnswer)
  }

  /** Tells the centre of its own queries; the plant's questions are the plant's business until their answers go up. */
  #tell(
    command: CommandRow,
    device: DeviceId | undefined,
    state: QueryState,
    atMs: number,
    reason: string | null = null,
    afterAnswer = 0,
  ): void {
    if (command.kind !== 'query' || command.authority !== 'centre') return
    const item: QueryItem = {
      t: 'query',
      queryId: command.id as QueryId,
      state,
      atMs,
      ...(device === undefined ? {} : { device }),
      ...(reason === null ? {} : { reason }),
    }
    addToOutbox(this.#database, item, afterAnswer)
  }

  #audit(
    actor: AuditActor,
    action: string,
    subject: string | undefined,
    atMs: number,
    detail: Record<string, unknown>,
  ): void {
    appendAudit(this.#database, { atMs, actor, action, detail, ...(subject === undefined ? {} : { subject }) })
  }

  #command(id: string): CommandRow | undefined {
    return this.#sql.command.get(id) as CommandRow | undefined
  }

  #need(id: string): CommandRow {
    const command = this.#command(id)
    if (command === undefined) throw new AppError('QUERY_UNKNOWN', `this gateway knows no query ${id}`)
    return command
  }

  #delivery(id: string, device: string): DeliveryRow | undefined {
    return this.#sql.delivery.get(id, device) as DeliveryRow | undefined
  }
}

function expiryOf(command: CommandRow, row: DeliveryRow, isKnown: boolean): [QueryState, string] {
  if (row.state === 'running') return ['expired', 'acknowledged but did not answer while it was valid']
  if (row.state === 'dispatched') return ['expired', 'was sent but never acknowledged while it was valid']
  if (!isKnown) return ['unreachable', 'no device of this name has ever been at this site']
  if (command.received_ms > command.not_after_ms) return ['expired', 'reached the site after its validity had ended']
  if (command.consent === 'ask') return ['expired', 'nobody at the plant decided while it was valid']
  if (command.consent === 'defer') return ['expired', "held back by the plant's rules while it was valid"]
  return ['expired', 'never connected while it was valid']
}

function listOf(devices: readonly string[]): Record<string, unknown> {
  return { count: devices.length, devices: devices.slice(0, 100) }
}
