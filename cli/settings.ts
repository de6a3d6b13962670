// Where the coordinator is and who asks: flags, then TIDEGATE_* variables, then the file that `tidegate login` writes.
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { stringify } from 'yaml'
import * as z from 'zod'
import { loadConfig, relativeTo } from '../lib/config.ts'
import { AppError } from '../lib/errors.ts'

const File = z.strictObject({ server: z.string(), ca: z.string().optional(), token: z.string() })

export interface ConnectionOptions {
  server?: string
  ca?: string
  token?: string
}

export interface Settings {
  server: URL
  /** PEM; undefined: the system's own CAs. */
  ca: string | undefined
  token: string
}

export function settingsPath(env: NodeJS.ProcessEnv = process.env): string {
  const base = env['XDG_CONFIG_HOME'] ?? join(env['HOME'] ?? homedir(), '.config')
  return join(base, 'tidegate', 'config.yaml')
}

/** Throws AppError, exit 3, that names what is missing and each way to give it. */
export function loadSettings(options: ConnectionOptions, env: NodeJS.ProcessEnv = process.env): Settings {
  const path = settingsPath(env)
  const file = existsSync(path) ? loadConfig(path, File) : undefined
  const server = options.server ?? env['TIDEGATE_SERVER'] ?? file?.server
  const token = options.token ?? env['TIDEGATE_TOKEN'] ?? file?.token
  const fileCa = file?.ca === undefined ? undefined : relativeTo(path, file.ca)
  const ca = options.ca ?? env['TIDEGATE_CA'] ?? fileCa
  if (server === undefined)
    throw missing('the address of the coordinator', '--server https://centre.example:8444', 'SERVER')
  if (token === undefined) throw missing('a token', '--token tgt_…', 'TOKEN')
  return { server: parseServer(server), ca: ca === undefined ? undefined : readCa(ca), token }
}

/** Writes the file, readable by its owner only. Returns its path. */
export function saveSettings(settings: { server: string; ca: string | undefined; token: string }): string {
  const path = settingsPath()
  const { server, ca, token } = settings
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const temporary = `${path}.${process.pid}.new`
  writeFileSync(temporary, stringify({ server, ...(ca === undefined ? {} : { ca: resolve(ca) }), token }), {
    mode: 0o600,
  })
  renameSync(temporary, path)
  return path
}

function parseServer(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol === 'https:') return url
  throw new AppError('SERVER_INVALID', `'${text}' is not the address of a coordinator`, {
    hint: 'write https://host:port',
    exit: 'usage',
  })
}

function readCa(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new AppError('CA_UNREADABLE', `cannot read the CA ${path}: ${String((error as { code?: string }).code)}`, {
      hint: 'name the root certificate, root/ca.pem, with --ca or TIDEGATE_CA',
      exit: 'config',
      cause: error,
    })
  }
}

function missing(what: string, flag: string, variable: string): AppError {
  return new AppError('NOT_CONFIGURED', `${what} is not known`, {
    hint: `tidegate login, or ${flag}, or the variable TIDEGATE_${variable}`,
    exit: 'config',
  })
}
