// Commands this device has accepted, on disk before their PUBACK: an append-only file of JSON lines, the last line of an id
// counts. What was acknowledged is never forgotten before it is answered, and an answered id is not run again until its
// time has passed. A line that a crash tore off was never acknowledged.
import { mkdir, open, readFile, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import * as z from 'zod'
import { AppError } from '../../lib/errors.ts'
import type { Logger } from '../../lib/log.ts'
import { Command } from '../../protocol/commands.ts'
import { replaceFileSync } from './replace-file.ts'

const Line = z.discriminatedUnion('state', [
  z.object({ state: z.literal('waiting'), command: Command, notes: z.array(z.string()).default([]) }),
  /** `parts`: how many its answer has; 1 until that is known. */
  z.object({ state: z.literal('started'), id: z.string(), parts: z.int().min(1) }),
  z.object({ state: z.literal('done'), id: z.string(), notAfterMs: z.number() }),
])
type Line = z.infer<typeof Line>

export interface JournalEntry {
  command: Command
  /** For the answer's warnings. */
  notes: readonly string[]
  /** Set once it has begun. */
  startedParts: number | undefined
}

/** The file is rewritten past this, if more than half of it no longer counts. */
const compactBytes = 1_048_576
/** Answered commands that are remembered; the first to lapse are forgotten first. */
const doneMax = 10_000

export class CommandJournal {
  readonly #path: string
  readonly #nowMs: () => number
  #file: FileHandle
  #byteCount: number
  #open: Map<string, JournalEntry>
  #done: Map<string, number>
  #turn: Promise<unknown> = Promise.resolve()

  /** Opens or makes the journal. Lines that cannot be read are left out and logged. Throws AppError, exit `storage`. */
  static async open(folder: string, log: Logger, nowMs: () => number = Date.now): Promise<CommandJournal> {
    const path = join(folder, 'commands.jsonl')
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 })
      const { open: waiting, done } = replay(await readIfPresent(path), log)
      for (const [id, notAfterMs] of done) if (notAfterMs < nowMs()) done.delete(id)
      const text = render(waiting, done)
      replaceFileSync(path, text)
      return new CommandJournal(path, nowMs, await open(path, 'a', 0o600), Buffer.byteLength(text), waiting, done)
    } catch (error) {
      throw new AppError('COMMANDS_UNUSABLE', `cannot use ${path}: ${(error as Error).message}`, {
        exit: 'storage',
        hint: 'check that the folder exists and that this user may write there',
        cause: error,
      })
    }
  }

  private constructor(
    path: string,
    nowMs: () => number,
    file: FileHandle,
    byteCount: number,
    waiting: Map<string, JournalEntry>,
    done: Map<string, number>,
  ) {
    this.#path = path
    this.#nowMs = nowMs
    this.#file = file
    this.#byteCount = byteCount
    this.#open = waiting
    this.#done = done
  }

  /** Accepted and not done, oldest first. */
  entries(): JournalEntry[] {
    return [...this.#open.values()]
  }

  get openCount(): number {
    return this.#open.size
  }

  /** Whether it was accepted before, durably. */
  async knows(id: string): Promise<boolean> {
    await this.#turn
    return this.#open.has(id) || this.#done.has(id)
  }

  /** Resolves when the command is durable; rejects when it is not. */
  async accept(command: Command, notes: string[]): Promise<void> {
    this.#open.set(command.id, { command, notes, startedParts: undefined })
    try {
      await this.#append({ state: 'waiting', command, notes })
    } catch (error) {
      this.#open.delete(command.id)
      throw error
    }
  }

  /** It runs, or its answer of several parts is being stored: a restart from here on must say so. */
  async start(id: string, parts = 1): Promise<void> {
    const entry = this.#open.get(id)
    if (entry !== undefined) entry.startedParts = parts
    await this.#append({ state: 'started', id, parts })
  }

  /** Answered; its id is remembered until the command's time has passed. */
  async finish({ id, notAfterMs }: Command): Promise<void> {
    this.#open.delete(id)
    this.#done.set(id, notAfterMs)
    await this.#append({ state: 'done', id, notAfterMs })
  }

  async close(): Promise<void> {
    await this.#turn
    await this.#file.close()
  }

  #append(line: Line): Promise<void> {
    const written = this.#turn.then(async () => {
      if (this.#byteCount > compactBytes) await this.#compact()
      // The line break comes first: whatever an earlier write left half done, this line is whole.
      const bytes = Buffer.from(`\n${JSON.stringify(line)}`)
      await this.#file.writeFile(bytes)
      await this.#file.datasync()
      this.#byteCount += bytes.byteLength
    })
    this.#turn = written.catch(() => undefined)
    return written
  }

  async #compact(): Promise<void> {
    const byLapse = [...this.#done]
      .filter(([, notAfterMs]) => notAfterMs >= this.#nowMs())
      .sort(([, a], [, b]) => b - a)
    this.#done = new Map(byLapse.slice(0, doneMax))
    const text = render(this.#open, this.#done)
    if (Buffer.byteLength(text) * 2 > this.#byteCount) return
    replaceFileSync(this.#path, text)
    await this.#file.close()
    this.#file = await open(this.#path, 'a', 0o600)
    this.#byteCount = Buffer.byteLength(text)
  }
}

function replay(text: string, log: Logger): { open: Map<string, JournalEntry>; done: Map<string, number> } {
  const waiting = new Map<string, JournalEntry>()
  const done = new Map<string, number>()
  for (const [index, json] of text.split('\n').entries()) {
    if (json === '') continue
    let line: Line
    try {
      line = Line.parse(JSON.parse(json))
    } catch {
      log.warn({ line: index + 1 }, 'a line of the command journal is not readable')
      continue
    }
    if (line.state === 'waiting') {
      waiting.set(line.command.id, { command: line.command, notes: line.notes, startedParts: undefined })
    } else if (line.state === 'started') {
      const entry = waiting.get(line.id)
      if (entry !== undefined) entry.startedParts = line.parts
    } else {
      waiting.delete(line.id)
      done.set(line.id, line.notAfterMs)
    }
  }
  return { open: waiting, done }
}

function render(waiting: ReadonlyMap<string, JournalEntry>, done: ReadonlyMap<string, number>): string {
  const lines: Line[] = [...done].map(([id, notAfterMs]) => ({ state: 'done', id, notAfterMs }))
  for (const { command, notes, startedParts } of waiting.values()) {
    lines.push({ state: 'waiting', command, notes: [...notes] })
    if (startedParts !== undefined) lines.push({ state: 'started', id: command.id, parts: startedParts })
  }
  return lines.map((line) => `\n${JSON.stringify(line)}`).join('')
}

async function readIfPresent(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw error
  }
}
