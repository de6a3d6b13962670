// The one shape of an error answer, on both listeners.
import { randomBytes } from 'node:crypto'

export interface ErrorAnswer {
  error: { code: string; message: string; hint?: string; requestId: string }
}

export function errorBody(code: string, message: string, requestId: string, hint?: string): ErrorAnswer {
  return { error: { code, message, ...(hint === undefined ? {} : { hint }), requestId } }
}

/** Never taken from the caller: it ends up in logs. */
export function createRequestId(): string {
  return `r-${randomBytes(6).toString('hex')}`
}
