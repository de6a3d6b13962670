// What a query's error means for its answer, and for whether the statement may run again.
import { AppError } from '../../lib/errors.ts'
import type { AnswerRecord } from '../../protocol/records.ts'

export interface QueryFailure {
  status: AnswerRecord['status']
  message: string
  /** The statement took the engine down, or would not let go of it: deny-list it. */
  endedEngine: boolean
}

/** For an error that Engine.query rejected with. */
export function statusOfError(error: unknown): QueryFailure {
  const { message } = error as Error
  const code = error instanceof AppError ? error.code : undefined
  switch (code) {
    case 'QUERY_CANCELLED':
      return { status: 'cancelled', message, endedEngine: false }
    case 'QUERY_TIMEOUT':
      // The engine's client says so of a worker that it had to end.
      return { status: 'timeout', message, endedEngine: message.endsWith('did not yield') }
    case 'QUERY_MEMORY':
    case 'ENGINE_DIED':
      return { status: 'failed', message, endedEngine: true }
    default:
      return { status: 'failed', message, endedEngine: false }
  }
}
