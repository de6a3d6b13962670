// The coordinator's public API through undici: answers checked against protocol/api.ts, errors in words.
import { Agent, errors, type Dispatcher } from 'undici'
import type { z } from 'zod'
import { Backoff } from '../lib/backoff.ts'
import { AppError, type ExitKind } from '../lib/errors.ts'
import { ErrorBody, StreamLine } from '../protocol/api.ts'
import type { Settings } from './settings.ts'

/** A stream that is silent for longer is broken; the server speaks every 15 s. */
const silenceMs = 45_000
const answerTimeoutMs = 60_000
/** How often a broken stream is taken up again before that is an error. */
const maxRetries = 8

export class ApiClient {
  readonly #settings: Settings
  readonly #agent: Agent

  constructor(settings: Settings) {
    this.#settings = settings
    this.#agent = new Agent({
      connect: { ...(settings.ca === undefined ? {} : { ca: settings.ca }), minVersion: 'TLSv1.2', timeout: 15_000 },
      headersTimeout: answerTimeoutMs,
      bodyTimeout: silenceMs,
    })
  }

  async close(): Promise<void> {
    await this.#agent.destroy()
  }

  /** GET of `/api/v1` + path. Throws AppError with the server's code, or exit 4 when it cannot be reached. */
  async get<T extends z.ZodType>(path: string, shape: T, query: Query = {}): Promise<z.output<T>> {
    return this.#json('GET', withQuery(path, query), shape)
  }

  async post<T extends z.ZodType>(path: string, shape: T, body?: unknown): Promise<z.output<T>> {
    return this.#json('POST', path, shape, body)
  }

  /** Every page of a list. */
  async *pages<T extends z.ZodType<{ nextCursor?: string | undefined }>>(
    path: string,
    shape: T,
    query: Query = {},
  ): AsyncGenerator<z.output<T>> {
    let cursor: string | undefined
    do {
      const page: z.output<T> = await this.get(path, shape, { ...query, cursor })
      yield page
      cursor = page.nextCursor
    } while (cursor !== undefined)
  }

  /**
   * Lines of a query's answers up to and including its `end`. A broken connection is made anew and the stream taken up
   * after the last line; nothing comes twice.
   */
  async *results(id: string, follow: boolean, signal: AbortSignal): AsyncGenerator<StreamLine> {
    let after: string | undefined
    const backoff = new Backoff({ baseMs: 500, maxMs: 10_000 })
    for (let failures = 0; ;) {
      try {
        const path = withQuery(`/queries/${id}/results`, { follow: String(follow), after })
        const response = await this.#request('GET', path, undefined, signal)
        for await (const line of jsonLines(response.body)) {
          failures = 0
          backoff.reset()
          const parsed = StreamLine.parse(line)
          if (parsed.type === 'answer') after = parsed.cursor
          yield parsed
          if (parsed.type === 'end') return
        }
        throw new AppError('STREAM_ENDED', 'the coordinator ended the stream', { exit: 'peer' })
      } catch (error) {
        const known = asAppError(error, this.#settings.server)
        if (signal.aborted || known.exit !== 'peer' || ++failures > maxRetries) throw known
        await new Promise((resolve) => setTimeout(resolve, 250 + backoff.nextMs()))
      }
    }
  }

  async #json<T extends z.ZodType>(
    method: 'GET' | 'POST',
    path: string,
    shape: T,
    body?: unknown,
  ): Promise<z.output<T>> {
    try {
      const response = await this.#request(method, path, body)
      const result = shape.safeParse(await response.body.json())
      if (result.success) return result.data
      const field = result.error.issues[0]?.path.join('.')
      throw new AppError('ANSWER_UNKNOWN', `the coordinator answered in an unknown form (${field})`, {
        hint: 'is this command older than the coordinator?',
      })
    } catch (error) {
      throw asAppError(error, this.#settings.server)
    }
  }

  async #request(
    method: 'GET' | 'POST',
    path: string,
    body?: unknown,
    signal?: AbortSignal,
  ): Promise<Dispatcher.ResponseData> {
    const { server, token } = this.#settings
    const response = await this.#agent.request({
      origin: server.origin,
      path: `${server.pathname.replace(/\/$/, '')}/api/v1${path}`,
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    })
    if (response.statusCode < 300) return response
    const parsed = ErrorBody.safeParse(parseOrNothing(await response.body.text()))
    if (!parsed.success) {
      throw new AppError(
        'NOT_A_COORDINATOR',
        `${server.origin} answered ${response.statusCode}, but not as a coordinator does`,
        {
          hint: 'check --server',
          exit: 'peer',
        },
      )
    }
    const { code, message, hint, requestId } = parsed.data.error
    throw new AppError(code, `${message} (request ${requestId})`, {
      exit: exitOf(response.statusCode),
      ...(hint === undefined ? {} : { hint }),
    })
  }
}

export type Query = Record<string, string | number | undefined>

function withQuery(path: string, query: Query): string {
  const given = Object.entries(query).filter((entry): entry is [string, string | number] => entry[1] !== undefined)
  const text = new URLSearchParams(given.map(([key, value]): [string, string] => [key, String(value)])).toString()
  return text === '' ? path : `${path}?${text}`
}

async function* jsonLines(body: AsyncIterable<Uint8Array>): AsyncGenerator<unknown> {
  const decoder = new TextDecoder()
  const pieces: string[] = []
  for await (const chunk of body) {
    const parts = decoder.decode(chunk, { stream: true }).split('\n')
    for (const part of parts.slice(0, -1)) {
      const line = [...pieces.splice(0), part].join('')
      if (line !== '') yield JSON.parse(line) as unknown
    }
    pieces.push(parts.at(-1) ?? '')
  }
}

function parseOrNothing(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

function exitOf(status: number): ExitKind {
  if (status === 401) return 'config'
  if (status === 422) return 'usage'
  if (status === 429 || status === 503) return 'peer'
  return 'failed'
}

const certificateCodes = [
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'CERT_HAS_EXPIRED',
  'CERT_NOT_YET_VALID',
  'ERR_TLS_CERT_ALTNAME_INVALID',
]

function asAppError(error: unknown, server: URL): AppError {
  if (error instanceof AppError) return error
  const { code, message } = error as { code?: string; message?: string }
  if (code !== undefined && certificateCodes.includes(code)) {
    return new AppError('SERVER_CERTIFICATE', `the certificate of ${server.host} cannot be trusted: ${code}`, {
      hint: 'name the root certificate with --ca, and use the name that the certificate is for',
      exit: 'certificate',
      cause: error,
    })
  }
  if (error instanceof errors.UndiciError || code !== undefined) {
    return new AppError('SERVER_UNREACHABLE', `cannot reach the coordinator at ${server.origin}: ${code ?? message}`, {
      hint: 'check --server, and that the coordinator runs',
      exit: 'peer',
      cause: error,
    })
  }
  return new AppError('UNEXPECTED', message ?? String(error), { cause: error })
}
