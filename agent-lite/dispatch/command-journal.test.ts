import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterAll, expect, test } from 'vitest'
import { commandForTests } from './command-for-tests.ts'
import { CommandJournal } from './command-journal.ts'

const log = pino({ level: 'silent' })
const root = mkdtempSync(join(tmpdir(), 'journal-'))
const opened: CommandJournal[] = []
afterAll(async () => {
  for (const journal of opened) await journal.close()
  rmSync(root, { recursive: true })
})
let count = 0
const newFolder = () => join(root, String(++count))
const open = async (folder: string, nowMs?: () => number) => {
  const journal = await CommandJournal.open(folder, log, nowMs)
  opened.push(journal)
  return journal
}
const idsOf = (journal: CommandJournal) => journal.entries().map(({ command }) => command.id)

test('what was accepted is there after a restart, with its notes and how far it came', async () => {
  const folder = newFolder()
  const journal = await open(folder)
  await journal.accept(commandForTests('q-1'), ['a note'])
  await journal.accept(commandForTests('q-2'), [])
  await journal.start('q-1', 3)
  await journal.finish(commandForTests('q-2'))
  const again = await open(folder)
  expect(again.entries()).toEqual([{ command: commandForTests('q-1'), notes: ['a note'], startedParts: 3 }])
  expect(await again.knows('q-2')).toBe(true)
  expect(await again.knows('q-3')).toBe(false)
})

test('an answered id is forgotten once its time has passed', async () => {
  const folder = newFolder()
  const journal = await open(folder, () => 0)
  await journal.accept(commandForTests('q-1', { notAfterMs: 1000 }), [])
  await journal.finish(commandForTests('q-1', { notAfterMs: 1000 }))
  expect(await (await open(folder, () => 1000)).knows('q-1')).toBe(true)
  expect(await (await open(folder, () => 1001)).knows('q-1')).toBe(false)
})

test('a line that was torn off anywhere loses only itself, and the lines written after it are whole', async () => {
  const folder = newFolder()
  const path = join(folder, 'commands.jsonl')
  const journal = await open(folder)
  await journal.accept(commandForTests('q-1'), [])
  const wholeBytes = statSync(path).size
  await journal.accept(commandForTests('q-2'), [])
  const tornBytes = Math.floor((wholeBytes + statSync(path).size) / 2)
  truncateSync(path, tornBytes)
  await journal.accept(commandForTests('q-3'), [])
  expect(idsOf(await open(folder))).toEqual(['q-1', 'q-3'])
})

test('lines that are no lines of a journal are left out', async () => {
  const folder = newFolder()
  const journal = await open(folder)
  await journal.accept(commandForTests('q-1'), [])
  appendFileSync(
    join(folder, 'commands.jsonl'),
    '\n{"state":"waiting"}\n[]\n\u0000\u0000\n{"state":"done","id":"q-9","notAfterMs":9}',
  )
  expect(idsOf(await open(folder))).toEqual(['q-1'])
})

test('the file does not grow with what is answered', async () => {
  const folder = newFolder()
  const journal = await open(folder)
  const sql = `SELECT '${'x'.repeat(30_000)}'`
  await journal.accept(commandForTests('q-open'), [])
  for (let number = 0; number < 80; number++) {
    const command = commandForTests(`q-${number}`, { sql })
    await journal.accept(command, [])
    await journal.finish(command)
  }
  expect(readFileSync(join(folder, 'commands.jsonl')).byteLength).toBeLessThan(1_200_000)
  const again = await open(folder)
  expect(idsOf(again)).toEqual(['q-open'])
  expect(await again.knows('q-0')).toBe(true)
})
