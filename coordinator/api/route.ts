// One way to declare a route of the people's API: its schemas check what comes in, type the handler, and become OpenAPI.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { z } from 'zod'
import type { TokenRecord } from '../store/store.ts'

interface RouteSpec<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType> {
  method: 'GET' | 'POST'
  url: string
  summary: string
  description?: string
  tag: string
  params?: P
  query?: Q
  body?: B
  /** Shape of the answer, for the documentation; with `status` when it is not 200. */
  answer: z.ZodType
  status?: number
  /** Content types of an answer that is not JSON. */
  produces?: readonly string[]
}

export interface RouteInput<P, Q, B> {
  params: P
  query: Q
  body: B
  /** Whose token it is. */
  token: TokenRecord
  request: FastifyRequest
  reply: FastifyReply
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Set by the check of the bearer token. */
    token: TokenRecord | null
  }
}

export function addRoute<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType>(
  app: FastifyInstance,
  spec: RouteSpec<P, Q, B>,
  handle: (input: RouteInput<z.output<P>, z.output<Q>, z.output<B>>) => Promise<unknown>,
): void {
  const { method, url, summary, description, tag, params, query, body, answer, status = 200, produces } = spec
  app.route({
    method,
    url,
    schema: {
      summary,
      tags: [tag],
      security: [{ token: [] }],
      ...(description === undefined ? {} : { description }),
      ...(params === undefined ? {} : { params }),
      ...(query === undefined ? {} : { querystring: query }),
      ...(body === undefined ? {} : { body }),
      ...(produces === undefined ? {} : { produces }),
      response: { [status]: answer },
    },
    async handler(request, reply) {
      void reply.code(status)
      return handle({
        params: request.params as z.output<P>,
        query: request.query as z.output<Q>,
        body: request.body as z.output<B>,
        token: request.token as TokenRecord,
        request,
        reply,
      })
    },
  })
}
