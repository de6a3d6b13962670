// Questions to devices: asked, listed, followed, cancelled.
import { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import * as z from 'zod'
import {
  FollowQuery,
  QueriesQuery,
  QueryCreate,
  QueryDetail,
  QueryList,
  StreamLine,
  type QueryView,
} from '../../protocol/api.ts'
import { QueryId } from '../../protocol/ids.ts'
import { AppError } from '../../lib/errors.ts'
import { readNumberCursor } from '../api/cursor.ts'
import { addRoute } from '../api/route.ts'
import type { RouteContext } from '../api/server.ts'
import { viewTarget } from '../queries/missing.ts'
import { streamResults } from '../queries/results-stream.ts'
import type { QueryRecord } from '../store/store.ts'

/** Streams of answers that may be open at once, over all callers. */
const maxStreams = 500

const QueryPath = z.object({ id: QueryId })

export function addQueryRoutes(app: FastifyInstance, context: RouteContext): void {
  const { store, centre, links, stopping } = context
  let openStreams = 0

  const detail = async (id: QueryId): Promise<QueryDetail> => {
    const query = await known(id)
    const linkOf = await links.all(store)
    const targets = await store.queryTargets(id)
    return {
      ...viewQuery(query),
      devices: targets.map((target) => viewTarget(target, linkOf(target.site))),
    }
  }
  const known = async (id: QueryId): Promise<QueryRecord> => {
    const query = await store.query(id)
    if (query === undefined) {
      throw new AppError('QUERY_UNKNOWN', `there is no query ${id}`, { hint: 'tidegate queries list shows them' })
    }
    return query
  }

  addRoute(
    app,
    {
      method: 'POST',
      url: '/queries',
      tag: 'Queries',
      summary: 'Ask devices a question; it waits for those that are away',
      body: QueryCreate,
      answer: QueryDetail,
      status: 201,
    },
    async ({ body, token }) => detail(await centre.create(body, token.name)),
  )

  addRoute(
    app,
    {
      method: 'GET',
      url: '/queries',
      tag: 'Queries',
      summary: 'Queries, newest first',
      query: QueriesQuery,
      answer: QueryList,
    },
    async ({ query: { status, cursor, limit } }) => {
      const isDone = status === undefined ? undefined : status === 'done'
      const queries = await store.queries({ isDone, before: readNumberCursor(cursor), limit: limit + 1 })
      const page = queries.slice(0, limit)
      const last = page.at(-1)
      return {
        queries: page.map(viewQuery),
        ...(queries.length > limit && last !== undefined ? { nextCursor: String(last.n) } : {}),
      }
    },
  )

  addRoute(
    app,
    {
      method: 'GET',
      url: '/queries/:id',
      tag: 'Queries',
      summary: 'One query: the state of each device, and why those that are missing are missing',
      params: QueryPath,
      answer: QueryDetail,
    },
    async ({ params: { id } }) => detail(id),
  )

  addRoute(
    app,
    {
      method: 'POST',
      url: '/queries/:id/cancel',
      tag: 'Queries',
      summary: 'Stop a query; devices that answered stay answered',
      params: QueryPath,
      answer: QueryDetail,
    },
    async ({ params: { id }, token }) => {
      await known(id)
      await centre.cancel(id, token.name)
      return detail(id)
    },
  )

  addRoute(
    app,
    {
      method: 'GET',
      url: '/queries/:id/results',
      tag: 'Queries',
      summary: 'Answers as they arrive, one JSON line per part; the last line is of type `end`',
      description:
        'As NDJSON, or as server-sent events when the request accepts text/event-stream. With follow=true it ends when every target is in a final state. Resume with after=<cursor>, or with Last-Event-ID.',
      params: QueryPath,
      query: FollowQuery,
      answer: StreamLine,
      produces: ['application/x-ndjson', 'text/event-stream'],
    },
    async ({ params: { id }, query: { follow, after }, request, reply }) => {
      await known(id)
      const isSse = (request.headers.accept ?? '').includes('text/event-stream')
      const resumeAt =
        readNumberCursor(after ?? (isSse ? request.headers['last-event-id']?.toString() : undefined)) ?? 0
      if (openStreams >= maxStreams) {
        throw new AppError('TOO_MANY_STREAMS', `${openStreams} streams of answers are open, and no more may be`, {
          hint: 'end one, or ask without follow=true later',
        })
      }
      openStreams++
      const gone = new AbortController()
      reply.raw.once('close', () => {
        openStreams--
        gone.abort()
      })
      const signal = AbortSignal.any([stopping, gone.signal])
      const lines = streamResults(id, resumeAt, follow === 'true', { ...context, signal })
      void reply.type(isSse ? 'text/event-stream' : 'application/x-ndjson')
      return reply.send(
        Readable.from(isSse ? asEvents(lines) : asNdjson(lines), { objectMode: false, highWaterMark: 65_536 }),
      )
    },
  )
}

async function* asNdjson(lines: AsyncIterable<StreamLine | undefined>): AsyncGenerator<string> {
  for await (const line of lines) yield line === undefined ? '\n' : `${JSON.stringify(line)}\n`
}

async function* asEvents(lines: AsyncIterable<StreamLine | undefined>): AsyncGenerator<string> {
  for await (const line of lines) {
    if (line === undefined) yield ':\n\n'
    else {
      const id = line.type === 'answer' ? `id: ${line.cursor}\n` : ''
      yield `event: ${line.type}\n${id}data: ${JSON.stringify(line)}\n\n`
    }
  }
}

function viewQuery(query: QueryRecord): QueryView {
  return {
    id: query.id,
    sql: query.sql,
    targets: [...query.targets],
    createdAtMs: query.createdAtMs,
    validUntilMs: query.notAfterMs,
    timeoutMs: query.timeoutMs,
    maxRows: query.maxRows,
    maxBytes: query.maxBytes,
    costClass: query.costClass,
    by: query.by,
    ...(query.why === null ? {} : { why: query.why }),
    ...(query.cancelledAtMs === null ? {} : { cancelledAtMs: query.cancelledAtMs }),
    ...(query.cancelledBy === null ? {} : { cancelledBy: query.cancelledBy }),
    status: query.isDone ? 'done' : 'open',
    counts: query.counts,
  }
}
