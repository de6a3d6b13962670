// The statements of the life cycle, prepared once, and the rows they give (store/migrations/0001_site.sql).
import type { Database } from '../../lib/sqlite/open.ts'
import type { Command } from '../../protocol/commands.ts'
import type { DeviceId } from '../../protocol/ids.ts'
import type { QueryState } from '../../protocol/query-states.ts'
import type { ConsentAction } from './consent.ts'

export interface CommandRow {
  arrival: number
  id: string
  authority: 'centre' | 'plant'
  kind: Command['kind']
  jws: string
  targets: string
  cost_class: string | null
  cancels: string | null
  received_ms: number
  not_before_ms: number
  not_after_ms: number
  consent: ConsentAction
  consent_reason: string | null
  consent_by: string | null
  cancelled_ms: number | null
  due_ms: number | null
}

export interface DeliveryRow {
  command_id: string
  device: DeviceId
  state: QueryState
  parts_seen: string
  parts: number | null
  status: string | null
  message: string | null
  row_count: number
}

/** Of one device to one question of the plant's own: a device that sends without end fills no disk. */
const maxAnswerBytes = 64 * 1_048_576

export type LifeCycleSql = ReturnType<typeof prepareLifeCycle>

export function prepareLifeCycle(database: Database.Database) {
  return {
    command: database.prepare('SELECT * FROM command WHERE id = ?'),
    delivery: database.prepare('SELECT * FROM delivery WHERE command_id = ? AND device = ?'),
    deliveries: database.prepare('SELECT * FROM delivery WHERE command_id = ? ORDER BY device'),
    open: database.prepare('SELECT * FROM command WHERE due_ms IS NOT NULL ORDER BY arrival'),
    due: database.prepare('SELECT * FROM command WHERE due_ms <= @nowMs ORDER BY arrival'),
    nextDue: database.prepare('SELECT min(due_ms) AS due FROM command WHERE due_ms IS NOT NULL'),
    openForAll: database.prepare(`
      SELECT * FROM command WHERE due_ms IS NOT NULL AND targets = '*' AND kind <> 'cancel' AND cancelled_ms IS NULL
        AND consent <> 'veto' AND not_after_ms >= @nowMs ORDER BY arrival`),
    sendable: database.prepare(`
      SELECT command.id, command.jws, delivery.state FROM delivery JOIN command ON command.id = delivery.command_id
      WHERE delivery.device = @device AND delivery.state IN ('at-site', 'awaiting-consent', 'dispatched')
        AND consent = 'allow' AND cancelled_ms IS NULL AND not_before_ms <= @nowMs AND not_after_ms >= @nowMs
      ORDER BY arrival`),
    insertCommand: database.prepare(`
      INSERT INTO command (id, authority, kind, jws, targets, sql, cost_class, cancels, asked_by, why, received_ms,
        not_before_ms, not_after_ms, consent, due_ms)
      VALUES (@id, @authority, @kind, @jws, @targets, @sql, @costClass, @cancels, @askedBy, @why, @nowMs,
        @notBeforeMs, @notAfterMs, 'allow', @notAfterMs + 1)`),
    insertDelivery: database.prepare(`
      INSERT INTO delivery (command_id, device, state, arrived_ms) VALUES (@id, @device, 'at-site', @nowMs)
      ON CONFLICT (command_id, device) DO NOTHING`),
    insertAnswer: database.prepare(`
      INSERT INTO answer (command_id, device, part, record) SELECT @id, @device, @part, @record
      WHERE (SELECT coalesce(sum(octet_length(record)), 0) FROM answer WHERE command_id = @id AND device = @device)
        < ${maxAnswerBytes}
      ON CONFLICT (command_id, device, part) DO NOTHING`),
    setConsent: database.prepare(
      'UPDATE command SET consent = @action, consent_reason = @reason, consent_by = @by WHERE id = @id',
    ),
    setCancelled: database.prepare('UPDATE command SET cancelled_ms = coalesce(cancelled_ms, @nowMs) WHERE id = @id'),
    setDue: database.prepare('UPDATE command SET due_ms = @dueMs WHERE id = @id'),
    setParts: database.prepare(`
      UPDATE delivery SET parts_seen = @seen, parts = @parts, status = @status, message = @message, row_count = @rows
      WHERE command_id = @id AND device = @device`),
    move: database.prepare(`
      UPDATE delivery SET state = @to, reason = @reason,
        dispatched_ms = CASE WHEN @to = 'dispatched' THEN @atMs ELSE dispatched_ms END,
        running_ms = CASE WHEN @to = 'running' THEN @atMs ELSE running_ms END,
        final_ms = CASE WHEN @isFinal THEN @atMs ELSE final_ms END
      WHERE command_id = @id AND device = @device`),
    prune: database.prepare('DELETE FROM command WHERE due_ms IS NULL AND not_after_ms < ?'),
  }
}
