// A file that only takes up space, so that there is some to give back when the disk is full. Without it a journal that
// filled its disk could never be emptied again: deleting rows writes to the WAL, and the WAL is only used afresh when all
// of it has gone into the database file, which may have to grow by as much.
import { randomFillSync } from 'node:crypto'
import { closeSync, existsSync, fsyncSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

export class Reserve {
  readonly #path: string
  readonly #bytes: number

  constructor(path: string, bytes: number) {
    this.#path = path
    this.#bytes = bytes
  }

  /** Takes the space, where it is not taken and enough is free beside it. Never throws: without it things work too. */
  take(): void {
    if (existsSync(this.#path)) return
    try {
      const { bavail, bsize } = statfsSync(dirname(this.#path))
      if (bavail * bsize < 2 * this.#bytes) return
      const file = openSync(this.#path, 'wx', 0o600)
      try {
        // Random, so that no file system stores it in less.
        const block = randomFillSync(Buffer.alloc(65_536))
        for (let written = 0; written < this.#bytes; written += block.length) writeSync(file, block)
        fsyncSync(file)
      } finally {
        closeSync(file)
      }
    } catch {
      rmSync(this.#path, { force: true })
    }
  }

  /** Gives the space back; false when there was none. */
  release(): boolean {
    if (!existsSync(this.#path)) return false
    rmSync(this.#path, { force: true })
    return true
  }
}
