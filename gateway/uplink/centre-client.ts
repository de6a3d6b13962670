// HTTPS to the centre with both certificates: one connection for segments, one for the long poll of commands. Every call
// ends: connect, first byte of the answer and each pause in it have a time limit. A broken connection is made anew from
// the files, so that a renewed certificate is used without a restart.
import { readFileSync } from 'node:fs'
import { checkServerIdentity, type PeerCertificate } from 'node:tls'
import { Client, errors } from 'undici'
import * as z from 'zod'
import { identityOf } from '../../certs/peer.ts'
import type { Epoch, SiteId } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'

export interface CentreClientOptions {
  url: string
  site: SiteId
  /** Paths of PEM files. */
  tls: { ca: string; cert: string; key: string }
  connectTimeoutMs: number
  /** How long the centre may take to answer once it has everything. */
  answerTimeoutMs: number
}

/** What the centre said to a segment. */
export type SegmentReply =
  | { kind: 'receipt'; jws: string }
  | { kind: 'out-of-order'; expected: number; chain: string | undefined }
  | { kind: 'refused'; status: number; code: string; message: string; retryAfterMs: number | undefined }

export interface CommandBatch {
  commands: { n: number; jws: string }[]
  upTo: number
}

/** The centre could not be reached, or did not answer as agreed. `message` is in words for people. */
export class CentreUnreachable extends Error {
  readonly retryAfterMs: number | undefined
  /** The body was on its way when the time ran out: a smaller one may get through. */
  readonly isTimeout: boolean
  /** Set when the centre did answer, with this status and not with what was asked for. */
  readonly status: number | undefined

  constructor(
    message: string,
    options: {
      cause?: unknown
      retryAfterMs?: number | undefined
      isTimeout?: boolean
      status?: number | undefined
    } = {},
  ) {
    super(message, { cause: options.cause })
    this.name = 'CentreUnreachable'
    this.retryAfterMs = options.retryAfterMs
    this.isTimeout = options.isTimeout ?? false
    this.status = options.status
  }
}

/** Slower than this and a body counts as lost: a link of 8 kbit/s. */
const slowestBytesPerS = 1024
const maxAnswerBytes = 32 * 1_048_576
const maxRetryAfterMs = 600_000

const ReceiptReply = z.looseObject({ receipt: z.string().max(16_384) })
const CommandsReply = z.looseObject({
  commands: z.array(z.looseObject({ n: z.int().min(1), jws: z.string().max(limits.commandBytes) })).max(10_000),
  upTo: z.int().min(0),
})
const ErrorReply = z.looseObject({
  error: z.looseObject({
    code: z.string().max(128),
    message: z.string().max(4096).optional(),
    expected: z.int().min(0).optional(),
    chain: z.string().max(64).optional(),
  }),
})

interface Reply {
  status: number
  body: unknown
  retryAfterMs: number | undefined
}

export class CentreClient {
  readonly #options: CentreClientOptions
  readonly #base: URL
  readonly #connections = new Map<'segments' | 'commands', Client>()
  readonly #abort = new AbortController()

  constructor(options: CentreClientOptions) {
    this.#options = options
    this.#base = new URL(options.url)
  }

  /** Sends a segment file. Throws CentreUnreachable. */
  async postSegment(n: number, file: Uint8Array): Promise<SegmentReply> {
    const timeoutMs = this.#options.answerTimeoutMs + (file.byteLength / slowestBytesPerS) * 1000
    const { status, body, retryAfterMs } = await this.#request('segments', 'POST', `segments/${n}`, timeoutMs, file)
    if (status === 200) return { kind: 'receipt', jws: expectShape(ReceiptReply, body).receipt }
    const { error } = expectShape(ErrorReply, body)
    if (status === 409 && error.code === 'SEGMENT_OUT_OF_ORDER' && error.expected !== undefined) {
      return { kind: 'out-of-order', expected: error.expected, chain: error.chain }
    }
    return { kind: 'refused', status, code: error.code, message: error.message ?? '', retryAfterMs }
  }

  /** Waits at most waitMs for commands after number `after`. Throws CentreUnreachable. */
  async commands(after: number, waitMs: number): Promise<CommandBatch> {
    const path = `commands?after=${after}&waitMs=${waitMs}`
    const reply = await this.#request('commands', 'GET', path, waitMs + this.#options.answerTimeoutMs)
    if (reply.status === 200) return expectShape(CommandsReply, reply.body)
    throw unexpected(reply)
  }

  /** The newest receipt of a chain; undefined when the centre has none. Throws CentreUnreachable. */
  async newestReceipt(chain: Epoch): Promise<string | undefined> {
    const reply = await this.#request('segments', 'GET', `receipt?chain=${chain}`, this.#options.answerTimeoutMs)
    if (reply.status === 200) return expectShape(ReceiptReply, reply.body).receipt
    if (reply.status === 404) return undefined
    throw unexpected(reply)
  }

  /** Ends what is on its way. */
  async close(): Promise<void> {
    this.#abort.abort()
    await Promise.all([...this.#connections.values()].map((client) => client.destroy()))
  }

  async #request(
    use: 'segments' | 'commands',
    method: 'GET' | 'POST',
    path: string,
    headersTimeout: number,
    body?: Uint8Array,
  ): Promise<Reply> {
    try {
      const client = this.#connect(use)
      const response = await client.request({
        method,
        path: `${this.#base.pathname.replace(/\/$/, '')}/v1/sites/${this.#options.site}/${path}`,
        headersTimeout,
        bodyTimeout: this.#options.answerTimeoutMs,
        signal: this.#abort.signal,
        ...(body === undefined ? {} : { body, headers: { 'content-type': 'application/octet-stream' } }),
      })
      const text = await response.body.text()
      return { status: response.statusCode, body: fromJson(text), retryAfterMs: retryAfter(response.headers) }
    } catch (error) {
      const broken = this.#connections.get(use)
      this.#connections.delete(use)
      await broken?.destroy()
      if (error instanceof CentreUnreachable) throw error
      throw new CentreUnreachable(inWords(error, this.#base), {
        cause: error,
        isTimeout: error instanceof errors.HeadersTimeoutError || error instanceof errors.SocketError,
      })
    }
  }

  #connect(use: 'segments' | 'commands'): Client {
    const known = this.#connections.get(use)
    if (known) return known
    const { tls, connectTimeoutMs } = this.#options
    const client = new Client(this.#base.origin, {
      connect: {
        ca: readFileSync(tls.ca),
        cert: readFileSync(tls.cert),
        key: readFileSync(tls.key),
        minVersion: 'TLSv1.2',
        checkServerIdentity: checkCoordinator,
        timeout: connectTimeoutMs,
      },
      pipelining: 1,
      keepAliveTimeout: 60_000,
      maxResponseSize: maxAnswerBytes,
    })
    this.#connections.set(use, client)
    return client
  }
}

/** Beside the name: only a certificate that the root itself made for a coordinator will do, not one of a site's CA. */
function checkCoordinator(host: string, certificate: PeerCertificate): Error | undefined {
  const nameError = checkServerIdentity(host, certificate)
  if (nameError) return nameError
  try {
    const { role, id } = identityOf(certificate)
    return role === 'coordinator'
      ? undefined
      : new Error(`the certificate is that of ${role} ${id}, not of a coordinator`)
  } catch (error) {
    return error as Error
  }
}

/** What went wrong, for a person at the plant. */
export function inWords(error: unknown, url: URL): string {
  const code = (error as { code?: unknown }).code
  switch (code) {
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `the name ${url.hostname} does not resolve (${code})`
    case 'ECONNREFUSED':
      return `nothing listens at ${url.host}`
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return `there is no way to ${url.host} (${code})`
    case 'UND_ERR_CONNECT_TIMEOUT':
    case 'ETIMEDOUT':
      return `${url.host} did not answer the connection in time`
    case 'UND_ERR_HEADERS_TIMEOUT':
    case 'UND_ERR_BODY_TIMEOUT':
      return `${url.host} took too long to answer`
    case 'UND_ERR_SOCKET':
    case 'ECONNRESET':
    case 'EPIPE':
      return `the connection to ${url.host} was cut`
    case 'CERT_HAS_EXPIRED':
      return `the certificate of ${url.host} has expired, or this machine's clock is wrong`
    case 'CERT_NOT_YET_VALID':
      return `the certificate of ${url.host} is not valid yet: this machine's clock may be wrong`
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
      return `the certificate of ${url.host} was not issued by the CA in centre.ca`
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return `the certificate of ${url.host} is for another name`
    default: {
      const message = error instanceof Error ? error.message : String(error)
      return /alert (unknown ca|bad certificate|certificate (expired|revoked|required|unknown))/.test(message)
        ? `${url.host} refused this gateway's certificate: ${/alert ([a-z ]+)/.exec(message)?.[1] ?? message}`
        : `${url.host}: ${message}${typeof code === 'string' ? ` (${code})` : ''}`
    }
  }
}

function expectShape<T extends z.ZodType>(schema: T, body: unknown): z.output<T> {
  const result = schema.safeParse(body)
  if (result.success) return result.data
  throw new CentreUnreachable(`the centre answered in an unknown form: ${z.prettifyError(result.error).slice(0, 200)}`)
}

function unexpected({ status, body, retryAfterMs }: Reply): CentreUnreachable {
  const error = ErrorReply.safeParse(body).data?.error
  const why = error === undefined ? '' : `: ${error.code} ${error.message ?? ''}`
  return new CentreUnreachable(`the centre answered ${status}${why}`, { retryAfterMs, status })
}

function fromJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

function retryAfter(headers: Record<string, string | string[] | undefined>): number | undefined {
  const seconds = Number(headers['retry-after'])
  return Number.isFinite(seconds) && seconds > 0 ? Math.min(seconds * 1000, maxRetryAfterMs) : undefined
}
