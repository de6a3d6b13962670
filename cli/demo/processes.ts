// Child processes of the demo: one line to start, stop or kill one, and their logs in files for people to read afterwards.
import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { AppError } from '../../lib/errors.ts'
import { programFile } from '../../lib/program-file.ts'

export class Program {
  readonly name: string
  readonly logPath: string
  readonly #child: ChildProcess
  readonly ended: Promise<number | string>

  /** Starts `dist/<bundle>` with arguments; stdout and stderr are appended to `logPath`. */
  constructor(name: string, bundle: string, args: readonly string[], logPath: string, env: NodeJS.ProcessEnv = {}) {
    this.name = name
    this.logPath = logPath
    const log = openSync(logPath, 'a', 0o600)
    this.#child = spawn(process.execPath, [fileURLToPath(programFile(bundle)), ...args], {
      stdio: ['ignore', log, log],
      env: { ...process.env, ...env },
    })
    closeSync(log)
    this.ended = new Promise((resolve) => {
      this.#child.once('exit', (code, signal) => resolve(code ?? signal ?? 1))
      this.#child.once('error', () => resolve(1))
    })
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Ends it as a power cut would, or with another signal; resolves when it is gone. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (this.isRunning) this.#child.kill(signal)
    await this.ended
  }

  /** Asks it to stop; after `graceMs` it is killed. */
  async stop(graceMs = 10_000): Promise<void> {
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), graceMs)
    await this.kill('SIGTERM')
    clearTimeout(timer)
  }

  /** The end of its log, for an error message. */
  logTail(lines = 15): string {
    return readFileSync(this.logPath, 'utf8').trimEnd().split('\n').slice(-lines).join('\n')
  }
}

export interface CommandResult {
  code: number
  stdout: string
  stderr: string
}

/** Runs a command of dist/ to its end. */
export async function runCommand(
  bundle: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<CommandResult> {
  const child = spawn(process.execPath, [fileURLToPath(programFile(bundle)), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  })
  const output = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text))
  const code = await new Promise<number>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (exitCode) => resolve(exitCode ?? 1))
  })
  return { code, ...output }
}

/** As runCommand, and throws with its stderr when it fails. Returns stdout. */
export async function runChecked(
  bundle: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<string> {
  const { code, stdout, stderr } = await runCommand(bundle, args, env)
  if (code !== 0)
    throw new AppError('COMMAND_FAILED', `${bundle} ${args.join(' ')} ended with ${code}\n${stderr.trim()}`)
  return stdout
}

/** Repeats `check` until it returns something other than undefined. Throws AppError TIMED_OUT with what it waited for. */
export async function until<T>(
  what: string,
  check: () => Promise<T | undefined> | T | undefined,
  timeoutMs = 30_000,
): Promise<T> {
  const deadlineMs = Date.now() + timeoutMs
  let last: unknown
  for (;;) {
    try {
      const value = await check()
      if (value !== undefined) return value
    } catch (error) {
      last = error
    }
    if (Date.now() > deadlineMs) {
      throw new AppError('TIMED_OUT', `waited ${timeoutMs / 1000} s for: ${what}`, { cause: last })
    }
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}
