// A disk in memory for the outbox's tests: after a crash, what was not synced may be there, in part, damaged or not at
// all; names that were made or removed without a sync of the folder may come or go. It can be full and it can fail.
import type { Disk } from '../../agent-lite/outbox/disk.ts'

interface File {
  bytes: Buffer
  /** What a crash cannot take. */
  durable: Buffer
}

export class ForgetfulDisk implements Disk {
  /** Bytes of all files; writes beyond fail with ENOSPC, after taking what still fits. */
  capacityBytes = Infinity
  /** Every write and sync fails with EIO. */
  isBroken = false
  /** The operation after so many more takes the power away. */
  crashAfter = Infinity
  operationCount = 0
  #files = new Map<string, File>()
  #durableNames = new Map<string, File>()
  #isOff = false

  /** Bytes on the disk, by file. */
  get contents(): Map<string, Buffer> {
    return new Map([...this.#files].map(([name, file]) => [name, file.bytes]))
  }

  /** What a crash cannot take of a file. */
  durableText(name: string): string {
    return this.#files.get(name)?.durable.toString('latin1') ?? ''
  }

  /** Flips one bit of a file, synced or not. */
  damage(name: string, at: number): void {
    const file = this.#files.get(name)
    if (file === undefined || file.bytes.byteLength === 0) return
    const bytes = Buffer.from(file.bytes)
    const place = at % bytes.byteLength
    bytes[place] = (bytes[place] ?? 0) ^ (1 << (at % 8))
    file.bytes = bytes
    file.durable = bytes
  }

  /** Power off and on. `random(n)` gives an integer from 0 to n-1. */
  crash(random: (n: number) => number): void {
    const names = new Set([...this.#files.keys(), ...this.#durableNames.keys()])
    const after = new Map<string, File>()
    for (const name of names) {
      const now = this.#files.get(name)
      const before = this.#durableNames.get(name)
      const file = now === before ? now : random(2) === 0 ? now : before
      if (file !== undefined) after.set(name, { bytes: survived(file, random), durable: file.durable })
    }
    for (const file of after.values()) file.durable = file.bytes
    this.#files = after
    this.#durableNames = new Map(after)
    this.#isOff = false
    this.crashAfter = Infinity
    this.isBroken = false
  }

  list(folder = '.') {
    this.#step()
    const prefix = folder === '.' ? '' : `${folder}/`
    const names = [...this.#files].filter(
      ([name]) => name.startsWith(prefix) && !name.slice(prefix.length).includes('/'),
    )
    return Promise.resolve(
      names.map(([name, file]) => ({ name: name.slice(prefix.length), byteCount: file.bytes.byteLength })),
    )
  }

  async read(name: string) {
    this.#step()
    return Promise.resolve(Buffer.from(this.#get(name).bytes))
  }

  async readAt(name: string, offset: number, byteCount: number) {
    this.#step()
    return Promise.resolve(Buffer.from(this.#get(name).bytes.subarray(offset, offset + byteCount)))
  }

  async write(name: string, offset: number, bytes: Uint8Array) {
    this.#step()
    if (this.isBroken) throw errno('EIO')
    const file = this.#files.get(name) ?? { bytes: Buffer.alloc(0), durable: Buffer.alloc(0) }
    this.#files.set(name, file)
    const used = [...this.#files.values()].reduce((sum, each) => sum + each.bytes.byteLength, 0)
    const growth = Math.max(0, offset + bytes.byteLength - file.bytes.byteLength)
    const room = Math.max(0, this.capacityBytes - used)
    const fitting = growth > room ? bytes.byteLength - (growth - room) : bytes.byteLength
    const head = Buffer.alloc(Math.max(offset, 0))
    file.bytes.copy(head, 0, 0, offset)
    file.bytes = Buffer.concat([
      head,
      bytes.subarray(0, Math.max(0, fitting)),
      file.bytes.subarray(offset + Math.max(0, fitting)),
    ])
    if (fitting < bytes.byteLength) throw errno('ENOSPC')
    return Promise.resolve()
  }

  async truncate(name: string, byteCount: number) {
    this.#step()
    const file = this.#get(name)
    file.bytes = file.bytes.subarray(0, byteCount)
    return Promise.resolve()
  }

  async sync(name: string) {
    this.#step()
    if (this.isBroken) throw errno('EIO')
    const file = this.#get(name)
    file.durable = file.bytes
    return Promise.resolve()
  }

  async syncFolder() {
    this.#step()
    if (this.isBroken) throw errno('EIO')
    this.#durableNames = new Map(this.#files)
    return Promise.resolve()
  }

  async rename(from: string, to: string) {
    this.#step()
    this.#files.set(to, this.#get(from))
    this.#files.delete(from)
    return Promise.resolve()
  }

  async remove(name: string) {
    this.#step()
    this.#get(name)
    this.#files.delete(name)
    return Promise.resolve()
  }

  async close() {
    return Promise.resolve()
  }

  #step(): void {
    this.operationCount++
    if (this.crashAfter-- <= 0) this.#isOff = true
    if (this.#isOff) throw errno('EPOWER')
  }

  #get(name: string): File {
    const file = this.#files.get(name)
    if (file === undefined) throw errno('ENOENT')
    return file
  }
}

/** A file after a crash: all that was synced, then as much of the rest as reached the disk, perhaps garbled. */
function survived(file: File, random: (n: number) => number): Buffer {
  const { bytes, durable } = file
  if (bytes.equals(durable)) return durable
  // Shortened without a sync, or rewritten: one or the other.
  if (bytes.byteLength < durable.byteLength || !bytes.subarray(0, durable.byteLength).equals(durable)) {
    return random(2) === 0 ? bytes : durable
  }
  const tail = Buffer.from(
    bytes.subarray(durable.byteLength, durable.byteLength + random(bytes.byteLength - durable.byteLength + 1)),
  )
  if (tail.byteLength > 0 && random(3) === 0) {
    const place = random(tail.byteLength)
    tail[place] = (tail[place] ?? 0) ^ (1 << random(8))
  }
  return Buffer.concat([durable, tail])
}

function errno(code: string): Error {
  return Object.assign(new Error(code), { code })
}
