// Durations and sizes as people write them in configuration and on command lines: "30s", "7d", "512MiB".
import { AppError } from './errors.ts'

const durationMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const
const sizeBytes = { B: 1, kB: 1000, KiB: 1024, MB: 1_000_000, MiB: 1_048_576, GB: 1e9, GiB: 1_073_741_824 } as const

/** Milliseconds of "1500ms", "30s", "10m", "12h", "7d" or "2w". Throws AppError UNIT_INVALID. */
export function parseDurationMs(text: string): number {
  return parseUnit(text, durationMs, 'a duration', '30s, 10m, 12h or 7d')
}

/** Bytes of "64KiB", "512MiB", "2GB". Throws AppError UNIT_INVALID. */
export function parseSizeBytes(text: string): number {
  return parseUnit(text, sizeBytes, 'a size', '64KiB, 512MiB or 2GiB')
}

/** "3 s", "12 min", "5.2 d": for people, two digits at most after the point. */
export function formatDuration(ms: number): string {
  const abs = Math.abs(ms)
  if (abs < 1000) return `${Math.round(ms)} ms`
  if (abs < 60_000) return `${trim(ms / 1000)} s`
  if (abs < 3_600_000) return `${trim(ms / 60_000)} min`
  if (abs < 86_400_000) return `${trim(ms / 3_600_000)} h`
  return `${trim(ms / 86_400_000)} d`
}

/** "812 B", "1.4 MiB". */
export function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`
  if (bytes < 1_048_576) return `${trim(bytes / 1024)} KiB`
  if (bytes < 1_073_741_824) return `${trim(bytes / 1_048_576)} MiB`
  return `${trim(bytes / 1_073_741_824)} GiB`
}

function trim(value: number): string {
  return value.toFixed(Math.abs(value) < 10 ? 1 : 0).replace(/\.0$/, '')
}

function parseUnit(text: string, units: Readonly<Record<string, number>>, what: string, example: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([A-Za-z]+)$/.exec(text.trim())
  const factor = match?.[2] !== undefined && Object.hasOwn(units, match[2]) ? units[match[2]] : undefined
  const value = factor === undefined ? NaN : Math.round(Number(match?.[1]) * factor)
  if (!Number.isSafeInteger(value)) {
    throw new AppError('UNIT_INVALID', `'${text}' is not ${what}`, { exit: 'config', hint: `write ${example}` })
  }
  return value
}
