// Reads one table without SQLite: the context a reader sees, with the constraints and used columns a test names.
import { fileURLToPath } from 'node:url'
import { Device } from '../../agent-lite/sources/device.ts'
import type { AgentFacts, Constraint, SqlValue, Table } from '../../agent-lite/tables/define.ts'

export type TestRow = Record<string, SqlValue | undefined>

export interface ReadOptions {
  device?: Device
  /** Constraints by column; a plain list means `=` or IN. */
  where?: Record<string, string[] | Constraint[]>
  /** Columns the query names; every one when left out. */
  used?: string[]
  agent?: Partial<AgentFacts>
}

/** All rows of one read, and what the reader warned of. */
export function readTable(table: Table, options: ReadOptions = {}): { rows: TestRow[]; warnings: string[] } {
  const warnings: string[] = []
  const constraints = (column: string): Constraint[] =>
    (options.where?.[column] ?? []).map((each) => (typeof each === 'string' ? { operator: '=', value: each } : each))
  const values = (column: string, operator: string) =>
    constraints(column)
      .filter((each) => each.operator === operator)
      .map((each) => String(each.value))
  const rows = table.read({
    device: options.device ?? new Device(),
    agent: { ...someAgent, ...options.agent },
    isUsed: (column) => options.used?.includes(column) ?? true,
    equals: (column) => values(column, '='),
    likes: (column) => values(column, 'LIKE'),
    constraints,
    warn: (message) => warnings.push(message),
    checkpoint: () => {},
  })
  return { rows: [...rows], warnings }
}

/** A tree under test/fixtures/devices as a device, at a fixed moment: 2026-03-03 14:05:09 UTC unless told. */
export function fixtureDevice(name: string, nowMs = Date.UTC(2026, 2, 3, 14, 5, 9)): Device {
  return new Device(fileURLToPath(new URL(`../fixtures/devices/${name}`, import.meta.url)), () => nowMs)
}

const someAgent: AgentFacts = {
  version: '0.0.0',
  pid: process.pid,
  startTime: 1,
  instanceId: '00000000-0000-4000-8000-000000000001',
  uuid: '00000000-0000-4000-8000-000000000002',
  configHash: '',
  configValid: true,
  flags: [],
  schedule: [],
}
