// Hands statements to the sql process, one at a time, and kills the process at the time limit. A fresh one is started
// for the next statement; the gateway's own threads never wait for a query.
import { fork, type ChildProcess } from 'node:child_process'
import { AppError } from '../../lib/errors.ts'
import { programFile } from '../../lib/program-file.ts'
import type { Cell } from '../../protocol/cells.ts'
import { limits as protocolLimits } from '../../protocol/limits.ts'
import type { SqlLimits, SqlResult } from './ad-hoc-sql.ts'
import type { SqlReply, SqlRequest } from './sql-process.ts'

export interface SqlClientOptions {
  statePath: string
  /** Bound of SQLite's own memory in the process. */
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
      const timer = setTimeout(() => {
        this.#child = undefined
        child.kill('SIGKILL')
        finish(() =>
          reject(
            new AppError('QUERY_TIMEOUT', `the query ran longer than ${timeoutMs} ms and was stopped`, {
              hint: 'narrow it, or raise the limit',
            }),
          ),
        )
      }, timeoutMs)
      const finish = (settle: () => void) => {
        clearTimeout(timer)
        child.removeAllListeners('message')
        child.removeListener('exit', onExit)
        settle()
      }
      const onExit = () => {
        finish(() => reject(new AppError('QUERY_MEMORY', 'the process of the query died: it needed too much memory')))
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
      const child = fork(
        programFile('tidegate-gateway-sql.js'),
        [this.#options.statePath, String(this.#options.memoryBytes)],
        { execArgv: ['--max-old-space-size=256'], stdio: ['ignore', 'ignore', 'inherit', 'ipc'] },
      )
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
