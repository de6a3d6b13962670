// Logs are JSON lines on stderr, so that stdout stays for data. What could be a secret never reaches a line.
import { destination, pino, type Logger } from 'pino'

export type { Logger }

export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const

/** A logger named after the program. */
export function createLog(name: string, level: (typeof logLevels)[number] = 'info'): Logger {
  return pino(
    {
      name,
      level,
      redact: {
        paths: ['token', 'authorization', 'password', 'key', '*.token', '*.password', '*.key', '*.authorization'],
        remove: true,
      },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination({ fd: 2, sync: true }),
  )
}
