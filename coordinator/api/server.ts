// The listener for people: HTTPS with bearer tokens, /api/v1, documented at /api/docs.
import rateLimit from '@fastify/rate-limit'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import Fastify, { LogController, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { AppError } from '../../lib/errors.ts'
import type { Logger } from '../../lib/log.ts'
import type { Notifier } from '../notifier.ts'
import type { Centre } from '../queries/centre.ts'
import { addHostRoutes } from '../routes/hosts.ts'
import { addQueryRoutes } from '../routes/queries.ts'
import { addRecordRoutes } from '../routes/records.ts'
import { addResultRoutes } from '../routes/results.ts'
import { addSiteRoutes } from '../routes/sites.ts'
import type { SiteLinks } from '../sites/links.ts'
import type { Store } from '../store/store.ts'
import { createRequestId, errorBody } from './errors.ts'
import { InputError, openApiOptions, useZod } from './openapi.ts'
import { checkBearer } from './tokens.ts'

export interface ApiOptions {
  tls: { cert: string; key: string }
  requestsPerMinute: number
  version: string
  store: Store
  centre: Centre
  links: SiteLinks
  notifier: Notifier
  log: Logger
  /** Ends streams when the process stops. */
  stopping: AbortSignal
  now?: () => number
}

/** What the routes need. */
export type RouteContext = Required<Pick<ApiOptions, 'store' | 'centre' | 'links' | 'notifier' | 'stopping' | 'now'>>

/** Of one request's body; the largest, a query, is far below. */
const maxBodyBytes = 262_144
/** Wrong tokens per address and minute before the address must wait. */
const maxWrongTokensPerMinute = 30

/** HTTP status of the errors that routes throw; every other AppError is a 422. */
const statuses: Record<string, number> = {
  QUERY_UNKNOWN: 404,
  HOST_UNKNOWN: 404,
  TABLE_UNKNOWN: 404,
  NOT_FOUND: 404,
  QUERY_CLOSED: 409,
  TOKEN_INVALID: 401,
  RATE_LIMITED: 429,
  TOO_MANY_STREAMS: 429,
  STORE_UNUSABLE: 503,
}

export async function createApiServer(options: ApiOptions): Promise<FastifyInstance> {
  const { store, log, now = Date.now } = options
  const app = Fastify({
    https: { ...options.tls, minVersion: 'TLSv1.2', handshakeTimeout: 20_000 },
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: createRequestId,
    bodyLimit: maxBodyBytes,
    connectionTimeout: 120_000,
    requestTimeout: 60_000,
    keepAliveTimeout: 75_000,
    routerOptions: { maxParamLength: 256 },
  }) as unknown as FastifyInstance

  app.decorateRequest('token', null)
  app.addHook('onSend', async (request, reply) => setSecurityHeaders(request, reply))
  app.setErrorHandler(async (error, request, reply) => sendError(error, request, reply, log))
  app.setNotFoundHandler(async (request, reply) =>
    sendError(
      new AppError('NOT_FOUND', `there is nothing at ${request.method} ${request.url.slice(0, 100)}`, {
        hint: 'see /api/docs',
      }),
      request,
      reply,
      log,
    ),
  )
  useZod(app)
  await app.register(swagger, openApiOptions(options.version))
  await app.register(swaggerUi, { routePrefix: '/api/docs', staticCSP: true })
  await app.register(rateLimit, { global: false })

  const context: RouteContext = { ...options, now }
  await app.register(
    async (api) => {
      const countWrongToken = api.createRateLimit({ max: maxWrongTokensPerMinute, timeWindow: 60_000 })
      const countRequest = api.createRateLimit({
        max: options.requestsPerMinute,
        timeWindow: 60_000,
        keyGenerator: (request) => request.token?.id ?? request.ip,
      })
      api.addHook('onRequest', async (request, reply) => {
        const token = await checkBearer(request.headers.authorization, store, now())
        if (token === undefined) {
          await limit(await countWrongToken(request), reply)
          void reply.header('www-authenticate', 'Bearer')
          throw new AppError('TOKEN_INVALID', 'there is no valid bearer token in this request', {
            hint: 'tidegate-coordinator token create makes one; send it as Authorization: Bearer …',
          })
        }
        request.token = token
        await limit(await countRequest(request), reply)
      })
      addSiteRoutes(api, context)
      addHostRoutes(api, context)
      addQueryRoutes(api, context)
      addResultRoutes(api, context)
      addRecordRoutes(api, context)
    },
    { prefix: '/api/v1' },
  )
  return app
}

type Allowance = Awaited<ReturnType<ReturnType<FastifyInstance['createRateLimit']>>>

async function limit(allowance: Allowance, reply: FastifyReply): Promise<void> {
  if (allowance.isAllowed || !allowance.isExceeded) return
  void reply.header('retry-after', allowance.ttlInSeconds)
  throw new AppError('RATE_LIMITED', `more than ${allowance.max} requests in a minute`, {
    hint: `wait ${allowance.ttlInSeconds} s; api.requestsPerMinute sets the limit`,
  })
}

function setSecurityHeaders(request: FastifyRequest, reply: FastifyReply): void {
  void reply.header('strict-transport-security', 'max-age=31536000')
  void reply.header('x-content-type-options', 'nosniff')
  void reply.header('x-frame-options', 'DENY')
  void reply.header('referrer-policy', 'no-referrer')
  if (request.url.startsWith('/api/docs')) return
  void reply.header('cache-control', 'no-store')
  void reply.header('content-security-policy', "default-src 'none'; frame-ancestors 'none'")
}

function sendError(error: unknown, request: FastifyRequest, reply: FastifyReply, log: Logger): FastifyReply {
  if (error instanceof InputError) {
    return reply.code(422).send(errorBody('INPUT_INVALID', error.message, request.id, 'see /api/docs'))
  }
  if (error instanceof AppError) {
    const status = statuses[error.code] ?? 422
    if (status >= 500) log.error({ err: error, url: request.url, requestId: request.id }, 'request failed')
    return reply.code(status).send(errorBody(error.code, error.message, request.id, error.hint))
  }
  const { statusCode, message } = error as { statusCode?: number; message?: string }
  if (statusCode === 413) {
    return reply.code(413).send(errorBody('BODY_TOO_LARGE', `a body of more than ${maxBodyBytes} bytes`, request.id))
  }
  if (statusCode !== undefined && statusCode < 500) {
    return reply.code(statusCode).send(errorBody('REQUEST_INVALID', message ?? 'the request is not valid', request.id))
  }
  log.error({ err: error, url: request.url, requestId: request.id }, 'request failed')
  const hint = `look for ${request.id} in the coordinator's log`
  return reply.code(500).send(errorBody('INTERNAL', 'the coordinator failed', request.id, hint))
}
