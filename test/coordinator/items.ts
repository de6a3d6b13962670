// Items of segments, as a gateway would make them.
import type { Cell } from '../../protocol/cells.ts'
import { DeviceId, Epoch, QueryId } from '../../protocol/ids.ts'
import type { QueryState } from '../../protocol/query-states.ts'
import type { DeviceRecord } from '../../protocol/records.ts'
import type { QueryItem, RecordItem, TableItem } from '../../protocol/segments.ts'

export const press1 = DeviceId.parse('press-1')
export const press2 = DeviceId.parse('press-2')
export const epoch = Epoch.parse('epoch-0001')
/** 2026-09-01T08:00:00Z, a Tuesday. */
export const startMs = 1_788_249_600_000

export function recordItem(record: DeviceRecord, device = press1): RecordItem {
  const receivedAtMs = startMs + (record.seq ?? 0) * 1000
  return { t: 'record', device, epoch, receivedAtMs, clock: 'synced', record: { atMs: receivedAtMs, ...record } }
}

export function snapshot(seq: number, name: string, rows: Cell[][], extra: object = {}): DeviceRecord {
  return { kind: 'snapshot', seq, name, columns: ['pid', 'name'], rows: columnar(rows), ...extra }
}

export function delta(
  seq: number,
  base: number,
  name: string,
  change: { added?: Cell[][]; removed?: Cell[][] },
  extra: object = {},
): DeviceRecord {
  const { added = [], removed = [] } = change
  const columns = ['pid', 'name']
  return { kind: 'delta', seq, base, name, columns, added: columnar(added), removed: columnar(removed), ...extra }
}

export function answer(
  seq: number,
  queryId: string,
  rows: Cell[][],
  part = 0,
  parts = 1,
  extra: object = {},
): DeviceRecord {
  const head = { kind: 'answer', seq, queryId: QueryId.parse(queryId), status: 'ok' }
  return { ...head, columns: ['pid', 'name'], rows: columnar(rows), part, parts, ...extra }
}

export function tableItem(seq: number, name: string, rows: Cell[][], device = press1): TableItem {
  const atMs = startMs + seq * 1000
  return {
    t: 'table',
    device,
    name,
    epoch,
    seq,
    observedAtMs: atMs,
    receivedAtMs: atMs,
    columns: ['pid', 'name'],
    rows: columnar(rows),
  }
}

export function queryItem(queryId: string, state: QueryState, device?: string, reason?: string): QueryItem {
  return {
    t: 'query',
    queryId: QueryId.parse(queryId),
    state,
    atMs: Date.now(),
    ...(device === undefined ? {} : { device: DeviceId.parse(device) }),
    ...(reason === undefined ? {} : { reason }),
  }
}

function columnar(rows: Cell[][]): Cell[][] {
  return [0, 1].map((column) => rows.map((row) => row[column] ?? null))
}
