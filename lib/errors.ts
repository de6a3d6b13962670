// The one error that is meant for people: it names the thing, its state and the remedy. Everything else is a bug and keeps its stack.

/** Exit codes of every command: 0 ok, 1 unexpected or a failed query, 2 usage, 3 config, 4 peer unreachable, 5 storage, 6 certificate. */
export const exitCodes = { ok: 0, failed: 1, usage: 2, config: 3, peer: 4, storage: 5, certificate: 6 } as const

export type ExitKind = keyof typeof exitCodes

export interface AppErrorOptions {
  /** How to mend it: a command, or the allowed range. */
  hint?: string
  /** Which exit code a command ends with; `failed` when left out. */
  exit?: ExitKind
  cause?: unknown
}

export class AppError extends Error {
  /** SCREAMING_SNAKE, stable, never reused for another meaning. */
  readonly code: string
  readonly hint: string | undefined
  readonly exit: ExitKind

  constructor(code: string, message: string, options: AppErrorOptions = {}) {
    super(message, { cause: options.cause })
    this.name = 'AppError'
    this.code = code
    this.hint = options.hint
    this.exit = options.exit ?? 'failed'
  }
}

/** What a command prints on stderr for an error; unexpected ones carry their stack only when asked for. */
export function describeError(error: unknown, { debug = false } = {}): string {
  if (error instanceof AppError) {
    const hint = error.hint === undefined ? '' : `\n  try: ${error.hint}`
    return `error: ${error.message}${hint}\n  (${error.code}, exit ${exitCodes[error.exit]})${debug && error.stack ? `\n${error.stack}` : ''}`
  }
  if (error instanceof Error) return debug && error.stack ? error.stack : `error: ${error.message}`
  return `error: ${String(error)}`
}

/** The exit code that belongs to an error. */
export function exitCodeOf(error: unknown): number {
  return error instanceof AppError ? exitCodes[error.exit] : exitCodes.failed
}
