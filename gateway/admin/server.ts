// The plant's own API: plain HTTP on loopback, a bearer token, small bodies. /healthz and /metrics need no token, so
// that a supervisor and Prometheus can read them; they name no device and no query.
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { randomUUID } from 'node:crypto'
import * as z from 'zod'
import { AppError } from '../../lib/errors.ts'
import type { Logger } from '../../lib/log.ts'
import { durationMs } from '../../lib/config.ts'
import { costClasses } from '../../protocol/commands.ts'
import { DeviceId } from '../../protocol/ids.ts'
import { limits } from '../../protocol/limits.ts'
import { Refusal } from '../../protocol/refusal.ts'
import type { AuditRow, AuditVerdict } from '../audit/audit-log.ts'
import type { QueryDetail, QuerySummary } from '../dispatch/read.ts'
import type { SqlResult } from '../state/ad-hoc-sql.ts'
import type { LedgerEntry } from '../store/ledger.ts'
import type { PlantQuery } from '../store/site-store.ts'
import type { GatewayStatus } from './status.ts'
import { isSameToken } from './token.ts'

export interface DeviceRow {
  device: string
  state: 'here' | 'gone'
  sinceMs: number
  firstSeenMs: number
}

/** What the API can do: the running gateway, as the routes see it. */
export interface AdminBackend {
  problems(): string[]
  status(): Promise<GatewayStatus>
  devices(): Promise<DeviceRow[]>
  ledger(device?: string): Promise<{ summary: string; epochs: LedgerEntry[] }>
  queries(limit: number): Promise<QuerySummary[]>
  query(id: string): Promise<QueryDetail | undefined>
  /** JSON text of an array of answer records. */
  answer(id: string, device: string): Promise<string>
  audit(options: { limit: number; beforeId?: number; subject?: string }): Promise<AuditRow[]>
  verifyAudit(): Promise<AuditVerdict>
  siteSql(sql: string, options: { maxRows?: number; timeoutMs?: number }): Promise<SqlResult>
  plantQuery(query: PlantQuery): Promise<{ id: string }>
  decide(id: string, action: 'allow' | 'veto', by: string, reason?: string): Promise<void>
  metrics(): Promise<{ contentType: string; text: string }>
}

const Page = z.object({
  limit: z.coerce.number().int().min(1).max(1000).default(100),
  beforeId: z.coerce.number().int().min(1).optional(),
  subject: z.string().max(64).optional(),
})
const LedgerFilter = z.object({ device: DeviceId.optional() })
const IdPath = z.object({ id: z.string().min(1).max(64) })
const AnswerPath = IdPath.extend({ device: DeviceId })
const SiteSql = z.strictObject({
  sql: z.string().min(1).max(limits.sqlBytes),
  maxRows: z.int().min(1).max(limits.rowsPerRecord).optional(),
  timeout: durationMs.optional(),
})
const NewQuery = z.strictObject({
  sql: z.string().min(1).max(limits.sqlBytes),
  devices: z.union([z.literal('*'), z.array(DeviceId).min(1).max(10_000)]),
  validForMs: z
    .int()
    .min(1000)
    .max(90 * 86_400_000),
  by: z.string().max(256).optional(),
  why: z.string().max(1024).optional(),
  costClass: z.enum(costClasses).optional(),
  timeoutMs: z.int().min(1).max(3_600_000).optional(),
  maxRows: z.int().min(1).max(limits.rowsPerRecord).optional(),
})
const Decision = z.strictObject({ by: z.string().min(1).max(256), reason: z.string().max(256).optional() })

const maxBodyBytes = 256 * 1024

const statusOfCode: Readonly<Record<string, number>> = {
  QUERY_UNKNOWN: 404,
  QUERY_CLOSED: 409,
  QUERY_INVALID: 400,
  QUERY_TIMEOUT: 408,
  QUERY_MEMORY: 413,
  QUERIES_WAITING: 429,
  STORE_UNUSABLE: 503,
  WORKER_ENDED: 503,
}

export function createAdminServer(backend: AdminBackend, token: string, log: Logger): FastifyInstance {
  const app = Fastify({
    loggerInstance: log,
    disableRequestLogging: true,
    genReqId: () => `r-${randomUUID().slice(0, 8)}`,
    bodyLimit: maxBodyBytes,
    connectionTimeout: 60_000,
    requestTimeout: 30_000,
  }) as unknown as FastifyInstance

  app.addHook('onRequest', async (request) => {
    if (!request.url.startsWith('/v1/')) return
    const [scheme, given = ''] = (request.headers.authorization ?? '').split(' ')
    if (scheme !== 'Bearer' || !isSameToken(given, token)) throw new HttpError(401, 'TOKEN_INVALID', 'no valid token')
  })
  app.setErrorHandler(async (error, request, reply) => sendError(error, request, reply, log))
  app.setNotFoundHandler(async (request, reply) =>
    sendError(new HttpError(404, 'NOT_FOUND', 'no such resource'), request, reply, log),
  )

  app.get('/healthz', async (_request, reply) => {
    const problems = backend.problems()
    return reply.code(problems.length === 0 ? 200 : 503).send({ ok: problems.length === 0, problems })
  })
  app.get('/metrics', async (_request, reply) => {
    const { contentType, text } = await backend.metrics()
    return reply.type(contentType).send(text)
  })

  app.get('/v1/status', () => backend.status())
  app.get('/v1/devices', async () => ({ devices: await backend.devices() }))
  app.get('/v1/ledger', (request) => backend.ledger(check(LedgerFilter, request.query).device))
  app.get('/v1/queries', async (request) => ({ queries: await backend.queries(check(Page, request.query).limit) }))
  app.get('/v1/queries/:id', async (request) => {
    const { id } = check(IdPath, request.params)
    const query = await backend.query(id)
    if (query === undefined) throw new AppError('QUERY_UNKNOWN', `this gateway knows no query ${id}`)
    return query
  })
  app.get('/v1/queries/:id/answers/:device', async (request, reply) => {
    const { id, device } = check(AnswerPath, request.params)
    return reply.type('application/json').send(await backend.answer(id, device))
  })
  app.post('/v1/queries', async (request, reply) => {
    return reply.code(201).send(await backend.plantQuery(check(NewQuery, request.body)))
  })
  for (const action of ['allow', 'veto'] as const) {
    app.post(`/v1/queries/:id/${action}`, async (request) => {
      const { id } = check(IdPath, request.params)
      const { by, reason } = check(Decision, request.body)
      await backend.decide(id, action, by, reason)
      return { id, action }
    })
  }
  app.post('/v1/query', (request) => {
    const { sql, maxRows, timeout } = check(SiteSql, request.body)
    return backend.siteSql(sql, {
      ...(maxRows === undefined ? {} : { maxRows }),
      ...(timeout === undefined ? {} : { timeoutMs: timeout }),
    })
  })
  app.get('/v1/audit', async (request) => {
    const { limit, beforeId, subject } = check(Page, request.query)
    const rows = await backend.audit({
      limit,
      ...(beforeId === undefined ? {} : { beforeId }),
      ...(subject === undefined ? {} : { subject }),
    })
    return { rows }
  })
  app.get('/v1/audit/verify', () => backend.verifyAudit())
  return app
}

class HttpError extends Error {
  readonly statusCode: number
  readonly code: string

  constructor(statusCode: number, code: string, message: string) {
    super(message)
    this.statusCode = statusCode
    this.code = code
  }
}

function check<T extends z.ZodType>(schema: T, value: unknown): z.output<T> {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  throw new HttpError(400, 'REQUEST_INVALID', `${issue?.path.join('.') || 'request'}: ${issue?.message ?? 'invalid'}`)
}

function sendError(error: unknown, request: FastifyRequest, reply: FastifyReply, log: Logger): FastifyReply {
  const send = (status: number, code: string, message: string, hint?: string) =>
    reply
      .code(status)
      .send({ error: { code, message, ...(hint === undefined ? {} : { hint }), requestId: request.id } })
  if (error instanceof AppError) return send(statusOfCode[error.code] ?? 500, error.code, error.message, error.hint)
  if (error instanceof Refusal) return send(400, error.reason, error.message)
  const { statusCode, code, message } = error as { statusCode?: number; code?: string; message?: string }
  if (statusCode !== undefined && statusCode < 500) return send(statusCode, code ?? 'REQUEST_INVALID', message ?? '')
  log.error({ err: error, url: request.url, requestId: request.id }, 'request failed')
  return send(500, 'INTERNAL', 'the gateway failed; its log says why')
}
