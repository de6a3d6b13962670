import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { AppError } from '../../lib/errors.ts'
import { encodeCommand, type CommandInput } from '../../protocol/commands.ts'
import { DeviceId, SiteId } from '../../protocol/ids.ts'
import { createSigner, loadTrustedKey, type Signer, type TrustedKey } from '../../protocol/jws.ts'
import type { DeviceRecord } from '../../protocol/records.ts'
import type { QueryResult } from '../engine/query.ts'
import { localFacts } from '../facts.ts'
import { commandForTests } from './command-for-tests.ts'
import { CommandJournal } from './command-journal.ts'
import { DenyList } from './deny-list.ts'
import { Dispatcher } from './dispatcher.ts'

const log = pino({ level: 'silent' })
const root = mkdtempSync(join(tmpdir(), 'dispatch-'))
const minuteMs = 60_000
const issuedAtMs = Date.UTC(2026, 0)
let signer: Signer
let trust: TrustedKey[]
let count = 0
let parts: Awaited<ReturnType<typeof setUp>>

beforeAll(async () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const publicPem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
  signer = await createSigner(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), publicPem)
  trust = [await loadTrustedKey(publicPem, 'centre')]
})
afterAll(() => rmSync(root, { recursive: true }))
beforeEach(async () => {
  parts = await setUp()
})
afterEach(async () => {
  await parts.dispatcher.stop()
  await parts.journal.close().catch(() => undefined)
  vi.useRealTimers()
})

async function setUp() {
  const folder = join(root, String(++count))
  const journal = await CommandJournal.open(folder, log)
  const state = {
    nowMs: issuedAtMs + minuteMs,
    clock: 'synced' as 'synced' | 'unsynced',
    isDiskFull: false,
    attempts: 0,
    answer: (): Promise<QueryResult> =>
      Promise.resolve({
        columns: [{ name: 'x', type: '' }],
        rows: [[1]],
        warnings: [],
        stats: { wallTimeMs: 1, memoryBytes: 1 },
      }),
  }
  const records: Omit<DeviceRecord, 'seq'>[] = []
  const ran: string[] = []
  const dispatcher = new Dispatcher({
    site: SiteId.parse('plant-a'),
    device: DeviceId.parse('press-1'),
    trust,
    journal,
    denyList: new DenyList(join(folder, 'deny.json'), log, () => state.nowMs),
    engine: {
      query(sql) {
        ran.push(sql)
        return state.answer()
      },
    },
    outbox: {
      add(record) {
        state.attempts++
        if (!state.isDiskFull) records.push(record)
        return { seq: records.length, stored: Promise.resolve(!state.isDiskFull) }
      },
    },
    limits: { timeoutMs: 1000, maxRows: 10, maxBytes: 1000 },
    facts: localFacts,
    clock: () => state.clock,
    log,
    nowMs: () => state.nowMs,
  })
  return { journal, dispatcher, records, ran, state }
}

async function receive(command: unknown): Promise<void> {
  await parts.dispatcher.receive(Buffer.from(await encodeCommand(command as CommandInput, signer)))
}

const answered = (queryCount: number) => vi.waitUntil(() => parts.records.length >= queryCount && parts.records)

test('clocks that differ by minutes refuse nothing', async () => {
  parts.state.nowMs = issuedAtMs - 4 * minuteMs
  await receive(commandForTests('q-early'))
  parts.state.nowMs = issuedAtMs + 4 * minuteMs
  await receive(commandForTests('q-late', { notAfterMs: issuedAtMs }))
  expect((await answered(2)).map((record) => record['status'])).toEqual(['ok', 'ok'])
})

test('a clock that is set refuses what is not valid yet or any more', async () => {
  parts.state.nowMs = issuedAtMs - 6 * minuteMs
  await receive(commandForTests('q-early'))
  parts.state.nowMs = issuedAtMs + 6 * minuteMs
  await receive(commandForTests('q-late', { notAfterMs: issuedAtMs }))
  const records = await answered(2)
  expect(records.map((record) => record['status'])).toEqual(['refused', 'refused'])
  expect(records.map((record) => String(record['message']).split(':')[0])).toEqual(['not-yet-valid', 'expired'])
})

test('a clock that was never set refuses nothing by itself, and the answer says so', async () => {
  parts.state.nowMs = 1000
  parts.state.clock = 'unsynced'
  await receive(commandForTests('q-1'))
  expect((await answered(1))[0]).toMatchObject({ status: 'ok', warnings: [expect.stringContaining('1970-01-01')] })
})

test('a refused command that comes again and again is answered once', async () => {
  const expired = commandForTests('q-1', { notAfterMs: 1 })
  for (let time = 0; time < 5; time++) await receive(expired)
  expect(parts.records).toHaveLength(1)
})

test('a command that cannot be stored is answered as failed before it is acknowledged; if that fails too, it may come again', async () => {
  await parts.journal.close()
  await receive(commandForTests('q-1'))
  expect(parts.records).toMatchObject([{ queryId: 'q-1', status: 'failed' }])
  parts.state.isDiskFull = true
  await expect(receive(commandForTests('q-2'))).rejects.toThrow('could not be stored')
  parts.state.isDiskFull = false
  await receive(commandForTests('q-2'))
  expect(parts.records.at(-1)).toMatchObject({ queryId: 'q-2', status: 'failed' })
})

test('a command is done only once the outbox has its answer', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const pass = async (isOver: () => boolean) => {
    while (!isOver()) {
      await vi.advanceTimersByTimeAsync(1000)
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  parts.state.isDiskFull = true
  await receive(commandForTests('q-1'))
  await pass(() => parts.state.attempts >= 3)
  expect(parts.journal.entries()).toHaveLength(1)
  parts.state.isDiskFull = false
  await pass(() => parts.journal.openCount === 0)
  expect(parts.records).toMatchObject([{ queryId: 'q-1', status: 'ok' }])
})

test('queries run one after the other, and one whose time passed while it waited is refused', async () => {
  let finish: () => void = () => {}
  const usual = parts.state.answer
  parts.state.answer = () => new Promise((resolve) => (finish = () => resolve(usual())))
  await receive(commandForTests('q-1', { sql: 'SELECT 1' }))
  await receive(commandForTests('q-2', { sql: 'SELECT 2', notAfterMs: issuedAtMs + 2 * minuteMs }))
  await vi.waitUntil(() => parts.ran.length === 1)
  parts.state.nowMs = issuedAtMs + 60 * minuteMs
  finish()
  const records = await answered(2)
  expect(records.map((record) => record['status'])).toEqual(['ok', 'refused'])
  expect(parts.ran).toEqual(['SELECT 1'])
})

test('a statement that ended the engine, or would not let go of it, is denied; one that was only slow is not', async () => {
  const fail = (code: string, message: string) => () => Promise.reject(new AppError(code, message))
  const failures = {
    'SELECT 1': fail('QUERY_MEMORY', 'too much'),
    'SELECT 2': fail('ENGINE_DIED', 'trap'),
    'SELECT 3': fail('QUERY_TIMEOUT', 'the query ran longer than 1 s and did not yield'),
    'SELECT 4': fail('QUERY_TIMEOUT', 'the query ran longer than 1 s'),
  }
  for (const [index, [sql, answer]] of Object.entries(failures).entries()) {
    parts.state.answer = answer
    await receive(commandForTests(`q-${index}`, { sql }))
    await answered(index + 1)
  }
  expect(parts.records.map((record) => record['status'])).toEqual(['failed', 'failed', 'timeout', 'timeout'])
  for (const [index, sql] of Object.keys(failures).entries())
    await receive(commandForTests(`q-again-${index}`, { sql }))
  const again = (await answered(8)).slice(4)
  expect(again.map((record) => record['status'])).toEqual(['denylisted', 'denylisted', 'denylisted', 'timeout'])
})

test('a command of a kind that this version does not know is told to the site', async () => {
  await receive({ ...commandForTests('q-1'), id: 'c-1', kind: 'renew', body: {} })
  expect((await answered(1))[0]).toMatchObject({
    kind: 'status',
    severity: 'warning',
    message: expect.stringContaining('renew'),
  })
})
