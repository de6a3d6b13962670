// The listener for gateways: HTTPS with client certificates, segments in, commands out. Gateways sit behind slow links:
// there is no limit on how long a request may take, only on how long it may be silent.
import { constants } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { TLSSocket } from 'node:tls'
import Fastify, { LogController, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import * as z from 'zod'
import { AppError } from '../../lib/errors.ts'
import type { Logger } from '../../lib/log.ts'
import { Epoch, SiteId } from '../../protocol/ids.ts'
import type { Signer } from '../../protocol/jws.ts'
import { limits } from '../../protocol/limits.ts'
import { parse } from '../../protocol/records.ts'
import { encodeReceipt } from '../../protocol/receipts.ts'
import { Refusal } from '../../protocol/refusal.ts'
import { commandsTopic, queryTopic, recordsTopic, type Notifier } from '../notifier.ts'
import { createRequestId, errorBody } from '../api/errors.ts'
import type { Store } from '../store/store.ts'
import { siteOfPeer } from './identity.ts'
import type { SiteLinks } from './links.ts'
import type { Revocations } from './revocation.ts'
import type { ArrivedSegment, TakenSegment } from './segment-intake.ts'

/** A request that is silent for longer is dropped; far above a long poll. */
const silenceMs = 120_000
const maxWaitMs = 30_000
/** Of one answer to a long poll: a gateway on a slow link asks again for the rest. */
const maxCommands = 100
const maxCommandsBytes = 1_048_576

const SitePath = z.object({ site: SiteId })
const SegmentPath = SitePath.extend({ n: z.coerce.number().int().min(1) })
const CommandsQuery = z.object({
  after: z.coerce
    .number()
    .int()
    .min(0)
    .max(2 ** 48)
    .default(0),
  waitMs: z.coerce
    .number()
    .int()
    .min(0)
    .transform((ms) => Math.min(ms, maxWaitMs))
    .default(0),
})
const ReceiptQuery = z.object({ chain: Epoch })

export interface SitesServerOptions {
  tls: { cert: string; key: string; ca: string }
  store: Store
  takeSegment(arrived: ArrivedSegment): Promise<TakenSegment>
  signer: Signer
  notifier: Notifier
  links: SiteLinks
  revocations: Revocations
  log: Logger
  /** Ends long polls when the process stops. */
  stopping: AbortSignal
  now?: () => number
}

export function createSitesServer(options: SitesServerOptions): FastifyInstance {
  const { store, takeSegment, signer, notifier, links, revocations, log, stopping, now = Date.now } = options
  /** The segment that each site is sending: one at a time, since they are a chain. */
  const sending = new Map<SiteId, IncomingMessage>()

  const app = Fastify({
    https: {
      ...options.tls,
      minVersion: 'TLSv1.2',
      requestCert: true,
      rejectUnauthorized: true,
      handshakeTimeout: 30_000,
      // Without sessions every connection shows its whole chain, and a revoked certificate cannot be resumed.
      secureOptions: constants.SSL_OP_NO_TICKET,
    },
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: createRequestId,
    bodyLimit: limits.segmentBytes,
    connectionTimeout: silenceMs,
    keepAliveTimeout: 75_000,
    routerOptions: { maxParamLength: 128 },
  }) as unknown as FastifyInstance

  app.server.on('tlsClientError', (error: Error, socket: TLSSocket) => {
    log.warn({ remote: socket.remoteAddress, reason: error.message }, 'connection refused')
  })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/octet-stream', { parseAs: 'buffer' }, (_request, body, done) =>
    done(null, body),
  )

  app.addHook('onRequest', async (request, reply) => {
    const site = siteOfPeer(request.raw.socket as TLSSocket, revocations)
    if ((request.params as { site?: string }).site !== site) {
      throw new HttpError(403, 'wrong-site', `the certificate of site ${site} cannot speak for another`)
    }
    if ((await store.siteKeys(site)) === undefined) {
      throw new HttpError(403, 'SITE_NOT_REGISTERED', `site ${site} is not registered here`)
    }
    const closed = links.opened(site)
    reply.raw.once('close', () => closed(reply.raw.writableFinished))
    if (request.method === 'POST') {
      const before = sending.get(site)
      if (before?.complete === true) throw new HttpError(429, 'SITE_BUSY', `segment of site ${site} in progress`, 1)
      // A gateway sends again when its link broke: the half that came before will never be whole.
      before?.socket.destroy()
      sending.set(site, request.raw)
      reply.raw.once('close', () => {
        if (sending.get(site) === request.raw) sending.delete(site)
      })
    }
  })
  app.setErrorHandler(async (error, request, reply) => sendError(error, request, reply, log))
  app.setNotFoundHandler(async (request, reply) =>
    sendError(new HttpError(404, 'NOT_FOUND', 'no such resource'), request, reply, log),
  )

  app.post('/v1/sites/:site/segments/:n', async (request, reply) => {
    const { site, n } = parse(SegmentPath, request.params, 'path')
    const keys = (await store.siteKeys(site)) ?? []
    if (!(request.body instanceof Uint8Array)) throw new Refusal('bad-shape', 'the body is the segment file')
    const taken = await takeSegment({ file: request.body, n, site, keysPem: keys, atMs: now() })
    if ('refusal' in taken) throw new Refusal(taken.refusal.reason, taken.refusal.message)
    const { chain, lane, items, outcome } = taken
    if (outcome.kind === 'out-of-order') {
      const { expected, expectedPrev } = outcome
      log.warn({ site, n, expected, chain }, 'segment out of order')
      const { error } = errorBody('SEGMENT_OUT_OF_ORDER', `segment ${n} cannot follow`, request.id)
      return reply.code(409).send({ error: { ...error, expected, expectedPrev, chain } })
    }
    if (outcome.kind === 'committed') {
      log.info({ site, n, lane, items, records: outcome.newRecords }, 'segment committed')
      for (const id of outcome.queries) notifier.notify(queryTopic(id))
      if (outcome.newRecords > 0) notifier.notify(recordsTopic)
    }
    // Signed after COMMIT and never before: only a receipt lets a gateway delete.
    return { receipt: await encodeReceipt({ site, chain, upTo: n, sha256: outcome.sha256, atMs: now() }, signer) }
  })

  app.get('/v1/sites/:site/commands', async (request, reply) => {
    const { site } = parse(SitePath, request.params, 'path')
    const { after, waitMs } = parse(CommandsQuery, request.query, 'query')
    const deadlineMs = now() + waitMs
    const listener = notifier.listen(commandsTopic(site))
    const gone = new AbortController()
    reply.raw.once('close', () => gone.abort())
    const signal = AbortSignal.any([stopping, gone.signal])
    try {
      for (;;) {
        const found = await store.commandsAfter(site, after, {
          nowMs: now(),
          maxCount: maxCommands,
          maxBytes: maxCommandsBytes,
        })
        const leftMs = deadlineMs - now()
        if (found.commands.length > 0 || found.upTo > after || leftMs <= 0 || signal.aborted) return found
        await listener.wait(leftMs, signal)
      }
    } finally {
      listener.close()
    }
  })

  app.get('/v1/sites/:site/receipt', async (request) => {
    const { site } = parse(SitePath, request.params, 'path')
    const { chain } = parse(ReceiptQuery, request.query, 'query')
    const newest = await store.newestSegment(site, chain)
    if (newest === undefined) throw new HttpError(404, 'CHAIN_UNKNOWN', `no segment of chain ${chain} was committed`)
    return {
      receipt: await encodeReceipt({ site, chain, upTo: newest.n, sha256: newest.sha256, atMs: now() }, signer),
    }
  })

  return app
}

class HttpError extends Error {
  readonly statusCode: number
  readonly code: string
  readonly retryAfterS: number | undefined

  constructor(statusCode: number, code: string, message: string, retryAfterS?: number) {
    super(message)
    this.statusCode = statusCode
    this.code = code
    this.retryAfterS = retryAfterS
  }
}

/** 413 for what is too large, 400 for what cannot be read at all, 422 for what can but must not be believed. */
function statusOf(refusal: Refusal): number {
  switch (refusal.reason) {
    case 'too-large':
      return 413
    case 'not-json':
    case 'not-utf8':
    case 'bad-shape':
    case 'bad-compression':
      return 400
    default:
      return 422
  }
}

function sendError(error: unknown, request: FastifyRequest, reply: FastifyReply, log: Logger): FastifyReply {
  const refuse = (status: number, code: string, message: string) => {
    log.warn({ url: request.url, remote: request.ip, code, reason: message, requestId: request.id }, 'request refused')
    return reply.code(status).send(errorBody(code, message, request.id))
  }
  if (error instanceof Refusal) return refuse(statusOf(error), error.reason, error.message)
  if (error instanceof HttpError) {
    if (error.retryAfterS !== undefined) void reply.header('retry-after', error.retryAfterS)
    return refuse(error.statusCode, error.code, error.message)
  }
  if (error instanceof AppError && error.exit === 'certificate') return refuse(403, error.code, error.message)
  const { statusCode, code, message } = error as { statusCode?: number; code?: string; message?: string }
  if (statusCode === 413) return refuse(413, 'too-large', `a body of more than ${limits.segmentBytes} bytes`)
  if (statusCode !== undefined && statusCode < 500) return refuse(statusCode, 'bad-shape', message ?? String(code))
  log.error({ err: error, url: request.url, requestId: request.id }, 'request failed')
  return reply.code(500).send(errorBody('INTERNAL', 'the coordinator failed; its log says why', request.id))
}
