// The outbox's files: which one of each priority is written to, in which order they are sent, and which may go.
import type { Logger } from '../../lib/log.ts'
import type { Disk } from './disk.ts'
import { decodeFrame, encodeFrame, spanMax, type Body, type Span } from './frame.ts'
import { fileName, LogFile, priorities, type Priority } from './log-file.ts'

/** A record on its way into a file. */
export interface Entry {
  seq: number
  body: Body
  priority: Priority
  isGap: boolean
}

export class FileSet {
  /** Since this process started. */
  writeCount = 0
  writtenBytes = 0
  readonly #disk: Disk
  readonly #epoch: string
  readonly #fileBytes: number
  #files: LogFile[]
  /** What is written to; none until the next write begins one. */
  #active: Partial<Record<Priority, LogFile>> = {}

  constructor(disk: Disk, epoch: string, fileBytes: number, files: readonly LogFile[]) {
    this.#disk = disk
    this.#epoch = epoch
    this.#fileBytes = fileBytes
    this.#files = [...files]
  }

  get byteCount(): number {
    return this.#files.reduce((sum, file) => sum + file.byteCount, 0)
  }

  get unacknowledgedCount(): number {
    return this.#files.reduce((sum, file) => sum + file.unacknowledgedCount, 0)
  }

  has(file: LogFile): boolean {
    return this.#files.includes(file)
  }

  inSendingOrder(): LogFile[] {
    return priorities.flatMap((priority) => this.#files.filter((file) => file.priority === priority))
  }

  /** Goes on writing to the newest file of each priority where it has room. */
  continueNewest(): void {
    this.#active = {}
    for (const priority of priorities) {
      const newest = this.#files.filter((file) => file.priority === priority).at(-1)
      if (newest !== undefined && newest.byteCount < this.#fileBytes) this.#active[priority] = newest
    }
  }

  /** The file to give up first: the oldest of low priority, else of high. `isOnly`: no other file holds a record. */
  oldest(): { file: LogFile; isOnly: boolean } | undefined {
    const filled = this.#files.filter((file) => file.recordCount > 0)
    const file = filled.find(({ priority }) => priority === 'low') ?? filled[0]
    return file && { file, isOnly: filled.length === 1 }
  }

  /** Makes entries of one priority durable with one write and sync. `givenOut`: the highest seq written before. */
  async append(entries: readonly Entry[], span: Span, givenOut: number): Promise<void> {
    const priority = entries[0]?.priority ?? 'low'
    const frames = entries.map(({ seq, body, isGap }) => {
      const from = Math.max(span.from, seq - spanMax)
      return encodeFrame(body, seq, { from, to: span.to }, isGap)
    })
    const bytes = Buffer.concat(frames)
    const file = this.#fileFor(priority, bytes.byteLength, givenOut)
    const isNew = file.recordCount === 0
    try {
      await this.#disk.write(file.name, file.byteCount, bytes)
      await this.#disk.sync(file.name)
      if (isNew) await this.#disk.syncFolder()
    } catch (error) {
      await this.#leave(file)
      throw error
    }
    this.writeCount++
    this.writtenBytes += bytes.byteLength
    let offset = file.byteCount
    for (const [index, frame] of frames.entries()) {
      const entry = entries[index] as Entry
      file.add({ seq: entry.seq, offset, byteCount: frame.byteLength, jsonBytes: entry.body.jsonBytes })
      offset += frame.byteLength
    }
  }

  #fileFor(priority: Priority, byteCount: number, highest: number): LogFile {
    const current = this.#active[priority]
    if (current !== undefined && (current.byteCount === 0 || current.byteCount + byteCount <= this.#fileBytes)) {
      return current
    }
    const taken = new Set(this.#files.map(({ name }) => name))
    let givenOut = highest
    while (taken.has(fileName(givenOut, priority, this.#epoch))) givenOut++
    const file = new LogFile(fileName(givenOut, priority, this.#epoch), priority)
    this.#files.push(file)
    this.#active[priority] = file
    return file
  }

  /** Nothing more is written to this file. */
  finish(file: LogFile): void {
    if (this.#active[file.priority] === file) delete this.#active[file.priority]
  }

  /** After a failed write nothing is known of the file's end, so nothing more is written there. */
  async #leave(file: LogFile): Promise<void> {
    this.finish(file)
    const isLast = this.#files.length === 1
    if (file.recordCount > 0 || isLast) await this.#disk.truncate(file.name, file.byteCount).catch(() => undefined)
    else await this.remove(file).catch(() => undefined)
  }

  async remove(file: LogFile): Promise<void> {
    this.#files = this.#files.filter((other) => other !== file)
    this.finish(file)
    await this.#disk.remove(file.name)
  }

  /** The JSON of a record; undefined when it is damaged. Throws what the disk throws. */
  async read(file: LogFile, at: { seq: number; offset: number; byteCount: number }): Promise<string | undefined> {
    return decodeFrame(await this.#disk.readAt(file.name, at.offset, at.byteCount), at.seq)
  }

  get isAnyDone(): boolean {
    return this.#files.some((file) => this.#isDone(file))
  }

  /** Removes files of which everything is acknowledged, but never the newest: it tells which seqs were given out. */
  async removeDone(log: Logger): Promise<void> {
    for (const file of this.#files.filter((each) => this.#isDone(each))) {
      await this.remove(file).catch((error: unknown) => {
        log.warn({ file: file.name, error: String(error) }, 'cannot remove an acknowledged outbox file')
      })
    }
  }

  #isDone(file: LogFile): boolean {
    if (file.unacknowledgedCount > 0) return false
    const newest = this.#files.filter((each) => each.priority === file.priority && each.recordCount > 0).at(-1)
    return file !== newest && this.#active[file.priority] !== file
  }
}
