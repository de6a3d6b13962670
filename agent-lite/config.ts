// agent.yaml: every key, its default and its range. The only reader of the file and of the packs it points to; certificates
// and keys are read by those who use them. Checked whole: every problem in it and in the packs is named at once.
import { createHash } from 'node:crypto'
import { hostname } from 'node:os'
import * as z from 'zod'
import { durationMs, hostPort, loadConfig, relativeTo, sizeBytes } from '../lib/config.ts'
import { AppError } from '../lib/errors.ts'
import { logLevels } from '../lib/log.ts'
import { SiteId } from '../protocol/ids.ts'
import { limits } from '../protocol/limits.ts'
import { defaultPack, defaultPackName } from './packs/default.ts'
import { ignoredOptions, OsqueryOptions } from './packs/options.ts'
import { readPackFile } from './packs/pack-file.ts'
import { Pack, Queries, strictObject } from './packs/pack-schema.ts'
import { resolveSchedule, type NamedPack, type Resolved } from './packs/resolve.ts'
import type { ScheduledQuery } from './schedule/scheduled-query.ts'

/** A duration from `min` to `max`, both as people write them. */
function duration(min: string, max: string, minMs: number, maxMs: number) {
  return durationMs.refine((ms) => ms >= minMs && ms <= maxMs, `must be ${min} to ${max}`)
}

const day = 86_400_000
const Path = z.string().min(1)

/** `configPath`: what paths of pack files are relative to. */
export function agentConfig(configPath: string) {
  return strictObject({
    site: SiteId,
    /** Where the site's gateway listens. */
    gateway: hostPort.refine(({ port }) => port > 0, 'must name a port'),
    tls: strictObject({ ca: Path, cert: Path, key: Path }),
    /** Public keys whose commands this device obeys, by authority. None of an authority: it is not obeyed. */
    trust: strictObject({ centre: z.array(Path).default([]), plant: z.array(Path).default([]) }).prefault({}),
    dataDir: Path,
    labels: z.array(z.string().min(1).max(128)).max(64).default([]),
    outbox: strictObject({
      /** At most so much waits on disk for the gateway; then the oldest records go and a gap names them. */
      maxBytes: sizeBytes.refine((bytes) => bytes >= 8 * 1_048_576, 'must be at least 8MiB').prefault('64MiB'),
      /** Records of one such span share a write: fewer writes for flash, at the price of as much delay. Answers never wait. */
      flushDelay: duration('0s', '1m', 0, 60_000).prefault('5s'),
    }).prefault({}),
    link: strictObject({
      keepalive: duration('5s', '1h', 5000, 3_600_000).prefault('60s'),
      connectTimeout: duration('1s', '10m', 1000, 600_000).prefault('30s'),
      /** Publishes that wait for their PUBACK at the same time. */
      maxInFlight: z.int().min(1).max(64).default(4),
      /** A publish without PUBACK for so long ends the connection, which is then made anew. */
      ackTimeout: duration('5s', '1h', 5000, 3_600_000).prefault('2m'),
      /** JSON of one publish before compression; small ones get through a link that breaks often. */
      envelopeBytes: sizeBytes
        .refine((bytes) => bytes >= 4096 && bytes <= limits.envelopeBytes / 2, 'must be 4KiB to 4MiB')
        .prefault('256KiB'),
      backoffBase: duration('100ms', '1m', 100, 60_000).prefault('1s'),
      backoffMax: duration('1s', '1h', 1000, 3_600_000).prefault('5m'),
    }).prefault({}),
    /** Limits of every query, scheduled ones and commands alike; a command may ask for less. */
    query: strictObject({
      timeout: duration('1s', '1h', 1000, 3_600_000).prefault('60s'),
      maxRows: z.int().min(1).max(limits.rowsPerRecord).default(100_000),
      maxBytes: sizeBytes
        .refine((bytes) => bytes >= 1024 && bytes <= 67_108_864, 'must be 1KiB to 64MiB')
        .prefault('8MiB'),
      memory: sizeBytes.refine((bytes) => bytes >= 16_777_216, 'must be at least 16MiB').prefault('64MiB'),
    }).prefault({}),
    results: strictObject({
      /** A query without changes says so at least so often. */
      freshness: duration('1m', '7d', 60_000, 7 * day).prefault('1h'),
      /** All rows are sent again at least so often, or after so many changes, so that no receiver stays wrong for longer. */
      resyncEvery: duration('1h', '30d', 3_600_000, 30 * day).prefault('24h'),
      resyncAfter: z.int().min(1).max(10_000).default(100),
    }).prefault({}),
    log: strictObject({ level: z.enum(logLevels).default('info') }).prefault({}),
    options: fromFile(configPath, OsqueryOptions).prefault({}),
    schedule: z
      .unknown()
      .optional()
      .transform((value, context) => readSchedule(configPath, value, context)),
    packs: z
      .unknown()
      .optional()
      .transform((value, context) => readPacks(configPath, value, context)),
  })
}

type Parsed = z.output<ReturnType<typeof agentConfig>>

/** As in the file, with absolute paths and the schedule resolved for this machine. */
export type AgentConfig = Omit<Parsed, 'schedule' | 'packs'> & {
  schedule: ScheduledQuery[]
  /** Packs and queries in the file that are meant for other machines. */
  skipped: Resolved['skipped']
  /** Things in the file that have no effect. */
  warnings: string[]
  /** SHA-1 of what was read, as osquery_info shows it. */
  hash: string
}

/** Reads a configuration; paths in it become relative to its folder. Throws AppError CONFIG_UNREADABLE or CONFIG_INVALID. */
export function loadAgentConfig(path: string, host = { hostname: hostname() }): AgentConfig {
  const config = loadConfig(path, agentConfig(path))
  const at = (file: string) => relativeTo(path, file)
  const packs: NamedPack[] = [
    ...(config.schedule === undefined ? [] : [{ name: undefined, pack: config.schedule }]),
    ...(config.packs ?? []),
  ]
  if (config.schedule === undefined && config.packs === undefined) {
    packs.push({ name: defaultPackName, pack: Pack.parse(defaultPack) })
  }
  const { options } = config
  const { queries, skipped, problems } = resolveSchedule(packs, {
    hostname: host.hostname,
    packDelimiter: options.pack_delimiter,
    defaultIntervalS: options.schedule_default_interval,
    defaultSplayPercent: options.schedule_splay_percent,
  })
  if (problems.length > 0) {
    throw new AppError('CONFIG_INVALID', `${path}: ${problems.map((problem) => `\n  - ${problem}`).join('')}`, {
      exit: 'config',
      hint: 'see docs/configuration.md for every key, its default and its range',
    })
  }
  return {
    ...config,
    tls: { ca: at(config.tls.ca), cert: at(config.tls.cert), key: at(config.tls.key) },
    trust: { centre: config.trust.centre.map(at), plant: config.trust.plant.map(at) },
    dataDir: at(config.dataDir),
    schedule: queries,
    skipped,
    warnings: ignoredOptions(options).map((name) => `options.${name}: this agent has no such option`),
    hash: createHash('sha1').update(JSON.stringify(config)).digest('hex'),
  }
}

/** A value that may stand in a file of its own: its path is then written in its place. */
function fromFile<T extends z.ZodType>(configPath: string, schema: T) {
  return z.unknown().transform((value, context): z.output<T> => {
    return check(schema, contentOf(configPath, value, context), context) ?? z.NEVER
  })
}

/** Queries by name, or a file with them or with a whole pack. */
function readSchedule(configPath: string, value: unknown, context: z.RefinementCtx): Pack | undefined {
  if (value === undefined) return undefined
  const content = contentOf(configPath, value, context)
  if (typeof value === 'string' && isObject(content) && isObject(content['queries']))
    return check(Pack, content, context)
  const queries = check(Queries, value === null ? {} : content, context)
  return queries && Pack.parse({ queries })
}

/** Packs by name, each an object or a file; under the name `*` an object of packs. */
function readPacks(configPath: string, value: unknown, context: z.RefinementCtx): NamedPack[] | undefined {
  if (value === undefined) return undefined
  return packsIn(contentOf(configPath, value, context), []).flatMap(([name, pack, path]) => {
    if (name === '*') return packsIn(contentOf(configPath, pack, context, path), path).flatMap(read)
    return read([name, pack, path])
  })

  function packsIn(content: unknown, path: string[]): [name: string, pack: unknown, path: string[]][] {
    if (isObject(content)) return Object.entries(content).map(([name, pack]) => [name, pack, [...path, name]])
    if (content !== undefined && content !== null) {
      context.addIssue({ code: 'custom', path, message: 'must be an object of packs' })
    }
    return []
  }

  function read([name, value, path]: [string, unknown, string[]]): NamedPack[] {
    const pack = check(Pack, contentOf(configPath, value, context, path), context, path)
    return pack === undefined ? [] : [{ name, pack }]
  }
}

/** The value, or what the file holds that it names. Undefined when that cannot be read, which is then an issue. */
function contentOf(configPath: string, value: unknown, context: z.RefinementCtx, path: string[] = []): unknown {
  if (typeof value !== 'string') return value
  try {
    return readPackFile(relativeTo(configPath, value))
  } catch (error) {
    context.addIssue({ code: 'custom', path, message: (error as Error).message })
    return undefined
  }
}

/** Undefined when the value does not fit or is undefined itself (a file that could not be read has its issue already). */
function check<T extends z.ZodType>(
  schema: T,
  value: unknown,
  context: z.RefinementCtx,
  path: string[] = [],
): z.output<T> | undefined {
  if (value === undefined) return undefined
  const result = schema.safeParse(value)
  if (result.success) return result.data
  for (const issue of result.error.issues) {
    context.addIssue({ code: 'custom', path: [...path, ...issue.path], message: issue.message })
  }
  return undefined
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
