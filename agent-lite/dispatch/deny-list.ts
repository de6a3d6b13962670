// Statements that ended the SQL engine, by the SHA-256 of their text: not run again for a day, whoever asks, also after a
// restart. Written at once and whole; losing the file costs one more try of each.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import * as z from 'zod'
import type { Logger } from '../../lib/log.ts'
import { replaceFileSync } from './replace-file.ts'

const DenyListFile = z.array(
  z.looseObject({ sqlSha256: z.string().regex(/^[0-9a-f]{64}$/), reason: z.string(), untilMs: z.number() }),
)
export type DenyListEntry = z.infer<typeof DenyListFile>[number]

const deniedForMs = 24 * 3_600_000
/** The oldest go first. */
const entriesMax = 1000

export class DenyList {
  readonly #path: string
  readonly #log: Logger
  readonly #nowMs: () => number
  #entries: DenyListEntry[]

  constructor(path: string, log: Logger, nowMs: () => number = Date.now) {
    this.#path = path
    this.#log = log
    this.#nowMs = nowMs
    this.#entries = read(path, log)
  }

  /** What still counts. */
  entries(): DenyListEntry[] {
    const nowMs = this.#nowMs()
    // The second condition: after the clock was set back, nothing is denied for longer than a day from now.
    return this.#entries.filter(({ untilMs }) => untilMs > nowMs && untilMs - nowMs <= deniedForMs)
  }

  /** Why the statement must not run; undefined when it may. */
  reasonFor(sql: string): string | undefined {
    const sqlSha256 = sha256(sql)
    return this.entries().find((entry) => entry.sqlSha256 === sqlSha256)?.reason
  }

  add(sql: string, reason: string): void {
    const sqlSha256 = sha256(sql)
    const others = this.entries().filter((entry) => entry.sqlSha256 !== sqlSha256)
    this.#entries = [...others, { sqlSha256, reason, untilMs: this.#nowMs() + deniedForMs }].slice(-entriesMax)
    this.#log.warn({ sqlSha256, reason }, 'this statement ended the SQL engine and is not run for a day')
    try {
      replaceFileSync(this.#path, JSON.stringify(this.#entries))
    } catch (error) {
      this.#log.error({ err: error }, 'cannot write the deny list: it is forgotten at the next start')
    }
  }
}

function sha256(sql: string): string {
  return createHash('sha256').update(sql).digest('hex')
}

function read(path: string, log: Logger): DenyListEntry[] {
  try {
    return DenyListFile.parse(JSON.parse(readFileSync(path, 'utf8')))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
      log.warn({ err: error, path }, 'the deny list is unreadable')
    return []
  }
}
