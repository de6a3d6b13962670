// Without root a scan is refused by hundreds of processes or folders. The first refusal stands for all of the same scan.

/** A `warn` that passes on only its first message. */
export function warnOnce(context: { warn(message: string): void }): { warn(message: string): void } {
  let hasWarned = false
  return {
    warn(message) {
      if (!hasWarned) context.warn(`${message}; others like it in this scan are not listed`)
      hasWarned = true
    },
  }
}
