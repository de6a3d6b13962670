// A part of a table that cannot be read must not cost the rest of it, and must not pass in silence either.
import { SourceError } from './device.ts'

/** What `read` returns; undefined, after a warning that names path and reason, when its source may not be read. */
export function orWarn<T>(context: { warn(message: string): void }, read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof SourceError)) throw error
    context.warn(error.message)
    return undefined
  }
}
