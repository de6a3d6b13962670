// Loading of a YAML (or JSON) configuration file: checked whole, every problem named at once, an unknown key is an error.
import { readFileSync } from 'node:fs'
import { dirname, isAbsolute, join } from 'node:path'
import { parseDocument } from 'yaml'
import * as z from 'zod'
import { AppError } from './errors.ts'
import { parseDurationMs, parseSizeBytes } from './units.ts'

/** A duration in the file ("30s"), milliseconds in the program. */
export const durationMs = z.string().transform((text, context) => convert(text, parseDurationMs, context))
/** A size in the file ("64MiB"), bytes in the program. */
export const sizeBytes = z.string().transform((text, context) => convert(text, parseSizeBytes, context))

/** "127.0.0.1:9883", "[::1]:9883", "gateway.plant:8883" in the file; host and port in the program. */
export const hostPort = z.string().transform((text, context) => {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:\s]+)):(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (match === null || port > 65_535) {
    const message = match === null ? 'must be host:port, for example gateway.plant:8883' : 'a port is at most 65535'
    context.addIssue({ code: 'custom', message })
    return z.NEVER
  }
  return { host: match[1] ?? match[2] ?? '', port }
})

/** Reads and checks a file against a schema (use z.strictObject). Throws AppError CONFIG_UNREADABLE or CONFIG_INVALID. */
export function loadConfig<T extends z.ZodType>(path: string, schema: T): z.output<T> {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    throw new AppError('CONFIG_UNREADABLE', `cannot read the configuration ${path}: ${String(code)}`, {
      exit: 'config',
      hint: code === 'ENOENT' ? 'name the file with --config' : 'check its owner and permissions',
      cause: error,
    })
  }
  return parseConfig(text, schema, path)
}

/** As loadConfig, for text that is already read; `name` is used in messages. */
export function parseConfig<T extends z.ZodType>(text: string, schema: T, name: string): z.output<T> {
  const document = parseDocument(text, { prettyErrors: true, maxAliasCount: 100 } as never)
  const broken = document.errors[0]
  if (broken) throw invalid(name, [broken.message.split('\n')[0] ?? 'not YAML'])
  const value: unknown = document.toJS() ?? {}
  const result = schema.safeParse(value)
  if (result.success) return result.data
  throw invalid(
    name,
    result.error.issues.map((issue) => describe(issue, value)),
  )
}

/** A path in a configuration file is relative to the file's folder. */
export function relativeTo(configPath: string, path: string): string {
  return isAbsolute(path) ? path : join(dirname(configPath), path)
}

/** Text of a file that a configuration names under `key`. Throws AppError CONFIG_FILE_UNREADABLE. */
export function readConfigFile(path: string, key: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    const code = String((error as NodeJS.ErrnoException).code)
    throw new AppError('CONFIG_FILE_UNREADABLE', `${key}: cannot read ${path} (${code})`, {
      exit: 'config',
      hint: code === 'ENOENT' ? 'correct the path, or make the file with tidegate certs' : 'check its owner and mode',
      cause: error,
    })
  }
}

function invalid(name: string, problems: string[]): AppError {
  return new AppError(
    'CONFIG_INVALID',
    `${name}: ${problems.length === 1 ? problems[0] : `\n  - ${problems.join('\n  - ')}`}`,
    {
      exit: 'config',
      hint: 'see docs/configuration.md for every key, its default and its range',
    },
  )
}

function describe(issue: z.core.$ZodIssue, root: unknown): string {
  const key = issue.path.length === 0 ? '(top level)' : issue.path.map(String).join('.')
  let value: unknown = root
  for (const part of issue.path) value = (value as Record<PropertyKey, unknown> | undefined)?.[part]
  const shown = value === undefined || typeof value === 'object' ? '' : ` (is ${JSON.stringify(value).slice(0, 80)})`
  return `${key}${shown}: ${issue.message}`
}

function convert(text: string, parse: (text: string) => number, context: z.RefinementCtx): number {
  try {
    return parse(text)
  } catch (error) {
    const { message, hint } = error as AppError
    context.addIssue({ code: 'custom', message: `${message}; ${hint}` })
    return z.NEVER
  }
}
