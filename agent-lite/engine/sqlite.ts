// SQLite's WebAssembly build, used through its plain C interface: the object API costs four times as much per row.
// The memory handed to it has a maximum, so a statement that wants more gets SQLITE_NOMEM instead of the device's RAM.
// Nothing here may throw through a C frame: whoever installs a callback catches inside it.
import sqlite3InitModule from '@sqlite.org/sqlite-wasm'

type Pointer = number

/** The C functions in use, as WebAssembly exports them: pointers and ints are numbers, int64 is bigint. */
export interface SqliteExports {
  sqlite3_malloc(bytes: number): Pointer
  sqlite3_free(pointer: Pointer): void
  sqlite3_open_v2(name: Pointer, db: Pointer, flags: number, vfs: Pointer): number
  sqlite3_close_v2(db: Pointer): number
  sqlite3_limit(db: Pointer, id: number, value: number): number
  sqlite3_errmsg(db: Pointer): Pointer
  sqlite3_prepare_v3(db: Pointer, sql: Pointer, bytes: number, flags: number, statement: Pointer, tail: Pointer): number
  sqlite3_step(statement: Pointer): number
  sqlite3_finalize(statement: Pointer): number
  sqlite3_stmt_readonly(statement: Pointer): number
  sqlite3_column_count(statement: Pointer): number
  sqlite3_column_name(statement: Pointer, column: number): Pointer
  sqlite3_column_decltype(statement: Pointer, column: number): Pointer
  sqlite3_column_type(statement: Pointer, column: number): number
  sqlite3_column_int64(statement: Pointer, column: number): bigint
  sqlite3_column_double(statement: Pointer, column: number): number
  sqlite3_column_text(statement: Pointer, column: number): Pointer
  sqlite3_column_blob(statement: Pointer, column: number): Pointer
  sqlite3_column_bytes(statement: Pointer, column: number): number
  sqlite3_value_type(value: Pointer): number
  sqlite3_value_int64(value: Pointer): bigint
  sqlite3_value_double(value: Pointer): number
  sqlite3_value_text(value: Pointer): Pointer
  sqlite3_value_blob(value: Pointer): Pointer
  sqlite3_value_bytes(value: Pointer): number
  sqlite3_result_null(context: Pointer): void
  sqlite3_result_int(context: Pointer, value: number): void
  sqlite3_result_int64(context: Pointer, value: bigint): void
  sqlite3_result_double(context: Pointer, value: number): void
  sqlite3_result_text(context: Pointer, text: Pointer, bytes: number, destructor: number): void
  sqlite3_result_blob(context: Pointer, blob: Pointer, bytes: number, destructor: number): void
  sqlite3_result_error(context: Pointer, message: Pointer, bytes: number): void
  sqlite3_result_error_nomem(context: Pointer): void
  sqlite3_set_authorizer(db: Pointer, callback: Pointer, argument: Pointer): number
  sqlite3_progress_handler(db: Pointer, operations: number, callback: Pointer, argument: Pointer): void
  sqlite3_create_module_v2(db: Pointer, name: Pointer, module: Pointer, argument: Pointer, destroy: Pointer): number
  sqlite3_drop_modules(db: Pointer, keep: Pointer): number
  sqlite3_declare_vtab(db: Pointer, sql: Pointer): number
  sqlite3_vtab_in(info: Pointer, constraint: number, handle: number): number
  sqlite3_vtab_in_first(value: Pointer, out: Pointer): number
  sqlite3_vtab_in_next(value: Pointer, out: Pointer): number
  sqlite3_vtab_collation(info: Pointer, constraint: number): Pointer
  sqlite3_create_function_v2(
    db: Pointer,
    name: Pointer,
    argumentCount: number,
    flags: number,
    context: Pointer,
    call: Pointer,
    step: Pointer,
    final: Pointer,
    destroy: Pointer,
  ): number
  sqlite3_create_collation(db: Pointer, name: Pointer, encoding: number, context: Pointer, compare: Pointer): number
  sqlite3_status64(what: number, current: Pointer, highest: Pointer, reset: number): number
}

/** Result codes and constants of sqlite3.h that the engine uses. */
export const SQLITE = {
  OK: 0,
  ERROR: 1,
  NOMEM: 7,
  INTERRUPT: 9,
  TOOBIG: 18,
  AUTH: 23,
  ROW: 100,
  DONE: 101,
  DENY: 1,
  INTEGER: 1,
  FLOAT: 2,
  TEXT: 3,
  BLOB: 4,
  NULL: 5,
  UTF8: 1,
  DETERMINISTIC: 0x800,
  OPEN_READWRITE: 2,
  OPEN_CREATE: 4,
  OPEN_MEMORY: 0x80,
  LIMIT_LENGTH: 0,
  LIMIT_SQL_LENGTH: 1,
  LIMIT_EXPR_DEPTH: 3,
  LIMIT_ATTACHED: 7,
  LIMIT_LIKE_PATTERN_LENGTH: 8,
  STATUS_MEMORY_USED: 0,
  TRANSIENT: -1,
} as const

// @types/node 20 does not describe WebAssembly.
interface WasmMemory {
  readonly buffer: ArrayBuffer
}
const { Memory } = (
  globalThis as unknown as { WebAssembly: { Memory: new (pages: { initial: number; maximum: number }) => WasmMemory } }
).WebAssembly

const pageBytes = 65_536
/** What the module asks for at the start; it cannot run in less. */
const initialPages = 128

/** The memory given to SQLite is used up; the connection stays sound. */
export class SqliteMemoryError extends Error {}

export class Sqlite {
  readonly c: SqliteExports
  readonly #memory: WasmMemory
  readonly #installFunction: (signature: string, callback: (...args: never[]) => unknown) => Pointer
  #view: DataView
  #bytes: Buffer
  #scratch: Pointer = 0
  #scratchBytes = 0

  private constructor(
    exports: SqliteExports,
    memory: WasmMemory,
    installFunction: (signature: string, callback: (...args: never[]) => unknown) => Pointer,
  ) {
    this.c = exports
    this.#memory = memory
    this.#installFunction = installFunction
    this.#view = new DataView(memory.buffer)
    this.#bytes = Buffer.from(memory.buffer)
  }

  /** A fresh instance whose memory never grows beyond `memoryMaxBytes` (at least 8 MiB, rounded down to 64 KiB). */
  static async load(memoryMaxBytes: number): Promise<Sqlite> {
    const memory = new Memory({
      initial: initialPages,
      maximum: Math.max(initialPages, Math.floor(memoryMaxBytes / pageBytes)),
    })
    // The published type of init knows no options; wasmMemory is Emscripten's.
    const init = sqlite3InitModule as unknown as (options: object) => ReturnType<typeof sqlite3InitModule>
    const silent = () => undefined
    const { wasm } = await init({ wasmMemory: memory, print: silent, printErr: silent })
    const install = wasm.installFunction as unknown as (
      signature: string,
      callback: (...args: never[]) => unknown,
    ) => Pointer
    return new Sqlite(wasm.exports as SqliteExports, memory, install)
  }

  get memoryBytes(): number {
    return this.#memory.buffer.byteLength
  }

  /** Makes a JavaScript function callable from C. Signature letters: v none, i int, p pointer, j int64, d double. */
  install(signature: string, callback: (...args: never[]) => unknown): Pointer {
    return this.#installFunction(signature, callback)
  }

  // Growing the memory detaches every view on it.
  #fresh(): void {
    if (this.#view.buffer === this.#memory.buffer) return
    this.#view = new DataView(this.#memory.buffer)
    this.#bytes = Buffer.from(this.#memory.buffer)
  }

  view(): DataView {
    this.#fresh()
    return this.#view
  }

  pointerAt(address: Pointer): Pointer {
    return this.view().getUint32(address, true)
  }

  /** Zeroed memory of SQLite's allocator; throws when there is none left. */
  allocate(byteCount: number): Pointer {
    const pointer = this.c.sqlite3_malloc(byteCount)
    if (pointer === 0) throw new SqliteMemoryError('SQLite is out of memory')
    this.#fresh()
    this.#bytes.fill(0, pointer, pointer + byteCount)
    return pointer
  }

  /** A NUL-terminated copy that the caller frees with sqlite3_free. */
  cString(text: string): Pointer {
    const byteCount = Buffer.byteLength(text)
    const pointer = this.allocate(byteCount + 1)
    this.#bytes.write(text, pointer, byteCount)
    return pointer
  }

  text(pointer: Pointer, byteCount: number): string {
    this.#fresh()
    return this.#bytes.toString('utf8', pointer, pointer + byteCount)
  }

  /** The NUL-terminated string at `pointer`, or undefined for a NULL pointer. */
  textAt(pointer: Pointer): string | undefined {
    if (pointer === 0) return undefined
    this.#fresh()
    return this.text(pointer, this.#bytes.indexOf(0, pointer) - pointer)
  }

  /** A copy of the bytes, safe to keep. */
  bytes(pointer: Pointer, byteCount: number): Uint8Array {
    this.#fresh()
    return Uint8Array.prototype.slice.call(this.#bytes, pointer, pointer + byteCount)
  }

  /** Hands text to the C function that is being answered; an unpaired surrogate becomes U+FFFD. */
  resultText(context: Pointer, text: string): void {
    // Three bytes hold any UTF-16 unit, so short texts need no counting.
    const room = text.length < 1000 ? text.length * 3 : Buffer.byteLength(text)
    if (!this.#reserve(room)) return this.c.sqlite3_result_error_nomem(context)
    const byteCount = this.#bytes.write(text, this.#scratch, room)
    this.c.sqlite3_result_text(context, this.#scratch, byteCount, SQLITE.TRANSIENT)
  }

  resultBlob(context: Pointer, blob: Uint8Array): void {
    if (!this.#reserve(blob.byteLength)) return this.c.sqlite3_result_error_nomem(context)
    this.#bytes.set(blob, this.#scratch)
    this.c.sqlite3_result_blob(context, this.#scratch, blob.byteLength, SQLITE.TRANSIENT)
  }

  resultError(context: Pointer, message: string): void {
    if (!this.#reserve(message.length * 3)) return this.c.sqlite3_result_error_nomem(context)
    const byteCount = this.#bytes.write(message, this.#scratch, message.length * 3)
    this.c.sqlite3_result_error(context, this.#scratch, byteCount)
  }

  #reserve(byteCount: number): boolean {
    if (byteCount > this.#scratchBytes || this.#scratch === 0) {
      this.c.sqlite3_free(this.#scratch)
      const size = Math.max(4096, byteCount)
      this.#scratch = this.c.sqlite3_malloc(size)
      this.#scratchBytes = this.#scratch === 0 ? 0 : size
    }
    this.#fresh()
    return this.#scratch !== 0
  }

  /** Gives back the buffer that large results left behind. */
  releaseScratch(): void {
    this.c.sqlite3_free(this.#scratch)
    this.#scratch = 0
    this.#scratchBytes = 0
  }

  /** Runs `call` with `text` as a C string and frees it after. */
  withCString<T>(text: string, call: (pointer: Pointer) => T): T {
    const pointer = this.cString(text)
    try {
      return call(pointer)
    } finally {
      this.c.sqlite3_free(pointer)
    }
  }

  /** The most memory SQLite's allocator held since the last call with `reset`. */
  memoryPeakBytes(reset: boolean): number {
    const out = this.allocate(16)
    try {
      this.c.sqlite3_status64(SQLITE.STATUS_MEMORY_USED, out, out + 8, reset ? 1 : 0)
      return Number(this.view().getBigInt64(out + 8, true))
    } finally {
      this.c.sqlite3_free(out)
    }
  }
}
