// Hands statements to the sql process, one at a time, and kills the process at its limit of time or memory. A fresh one
// is started for the next statement; the gateway's own threads never wait for a query. Memory is watched from outside:
// better-sqlite3 is built without memory statistics, so that SQLite's own heap limit has no effect.
import { fork, type ChildProcess } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { AppError } from '../../lib/errors.ts'
import { programFile } from '../../lib/program-file.ts'
import type { Cell } from '../../protocol/cells.ts'
import { limits as protocolLimits } from '../../protocol/limits.ts'
import type { SqlLimits, SqlResult } from './ad-hoc-sql.ts'
import type { SqlReply, SqlRequest } from './sql-process.ts'

const memoryCheckMs = 50

export interface SqlClientOptions {
  statePath: string
  /** Resident memory at which the process is killed. */
  memoryBytes: number
  /** Statements that may wait; one more is refused. */
  maxWaiting?: number
}

export class SqlClient {
  readonly #options: Required<SqlClientOptions>
  #child: Promise<ChildProcess> | undefined
  #last: Promise<unknown> = Promise.resolve()
  #waiting = 0
  #isClosed = false

  constructor(options: SqlClientOptions) {
    this.#options = { maxWaiting: 8, ...options }
  }

  /** Runs one SELECT. Throws AppError QUERY_INVALID, QUERY_TIMEOUT, QUERY_MEMORY or QUERIES_WAITING. */
  async query(sql: string, { timeoutMs, ...limits }: SqlLimits & { timeoutMs: number }): Promise<SqlResult> {
    if (Buffer.byteLength(sql) > protocolLimits.sqlBytes) {
      throw new AppError('QUERY_INVALID', `the statement is longer than ${protocolLimits.sqlBytes} bytes`)
    }
    if (this.#waiting >= this.#options.maxWaiting) {
      throw new AppError('QUERIES_WAITING', `${this.#waiting} queries wait already`, {
        hint: 'try again when they are done',
      })
    }
    this.#waiting++
    const run = this.#last.then(() => this.#run(sql, limits, timeoutMs))
    this.#last = run.catch(() => undefined)
    try {
      return await run
    } finally {
      this.#waiting--
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    const child = await this.#child?.catch(() => undefined)
    child?.kill('SIGKILL')
  }

  async #run(sql: string, limits: SqlLimits, timeoutMs: number): Promise<SqlResult> {
    if (this.#isClosed) throw new AppError('GATEWAY_STOPPING', 'the gateway is stopping')
    this.#child ??= this.#start()
    const child = await this.#child.catch((error: unknown) => {
      this.#child = undefined
      throw error
    })
    return new Promise((resolve, reject) => {
      const stop = (error: AppError) => {
        this.#child = undefined
        child.kill('SIGKILL')
        finish(() => reject(error))
      }
      const timer = setTimeout(() => {
        const message = `the query ran longer than ${timeoutMs} ms and was stopped`
        stop(new AppError('QUERY_TIMEOUT', message, { hint: 'narrow it, or raise the limit' }))
      }, timeoutMs)
      const memoryWatch = setInterval(() => {
        void residentBytes(child.pid).then((bytes) => {
          if (!isSettled && bytes > this.#options.memoryBytes) stop(tooMuchMemory())
        })
      }, memoryCheckMs)
      let isSettled = false
      const finish = (settle: () => void) => {
        isSettled = true
        clearTimeout(timer)
        clearInterval(memoryWatch)
        child.removeAllListeners('message')
        child.removeListener('exit', onExit)
        settle()
      }
      const onExit = () => {
        finish(() => reject(tooMuchMemory()))
      }
      child.once('exit', onExit)
      child.on('message', (reply: SqlReply) => {
        finish(() => {
          if (!reply.ok)
            return reject(new AppError(reply.code, reply.message, reply.hint === undefined ? {} : { hint: reply.hint }))
          const { columns, rows, truncated } = reply
          resolve({ columns, rows: rows as Cell[][], ...(truncated === undefined ? {} : { truncated }) })
        })
      })
      child.send({ sql, limits, nowMs: Date.now() } satisfies SqlRequest)
    })
  }

  #start(): Promise<ChildProcess> {
    const started = new Promise<ChildProcess>((resolve, reject) => {
      const child = fork(programFile('tidegate-gateway-sql.js'), [this.#options.statePath], {
        execArgv: ['--max-old-space-size=256'],
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      })
      child.once('exit', () => {
        if (this.#child === started) this.#child = undefined
        reject(new AppError('QUERY_PROCESS_FAILED', 'the process for queries did not start'))
      })
      child.once('error', reject)
      child.once('message', () => resolve(child))
    })
    return started
  }
}

/** 0 where /proc does not tell. */
async function residentBytes(pid: number | undefined): Promise<number> {
  const statm = await readFile(`/proc/${pid}/statm`, 'utf8').catch(() => '')
  return Number(statm.split(' ')[1] ?? 0) * 4096
}

function tooMuchMemory(): AppError {
  return new AppError('QUERY_MEMORY', 'the query needed more memory than it may use and was stopped', {
    hint: 'select fewer columns or rows',
  })
}
