// The zod schemas of protocol/api.ts as OpenAPI 3.1, and their use as Fastify's validators.
import type { FastifyInstance, FastifySchema, FastifySchemaCompiler } from 'fastify'
import * as z from 'zod'
import { ErrorBody } from '../../protocol/api.ts'

const prose: Record<string, string> = {
  Sites: 'Sites and the state of their links',
  Hosts: 'Devices, what is known of them and their latest tables',
  Queries: 'Questions to devices, and their answers',
  Results: 'Latest rows of scheduled queries over many hosts',
  Records: 'Audit log and ledger',
}

/** Options of @fastify/swagger. */
export function openApiOptions(version: string) {
  return {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'tidegate coordinator',
        version,
        description:
          'Ask every computer of isolated sites what runs on it. Times are Unix milliseconds. Send `Authorization: Bearer <token>`; `tidegate-coordinator token create` makes one.',
      },
      servers: [{ url: '/' }],
      tags: Object.entries(prose).map(([name, description]) => ({ name, description })),
      components: {
        securitySchemes: { token: { type: 'http' as const, scheme: 'bearer' } },
      },
    },
    transform: ({ schema, url }: { schema: FastifySchema; url: string }) => ({ schema: toJsonSchemas(schema), url }),
  }
}

function toJsonSchemas(schema: FastifySchema | undefined): FastifySchema {
  if (schema === undefined) return {}
  const { params, querystring, body, response, produces, ...rest } = schema
  const answers = Object.entries((response ?? {}) as Record<string, z.ZodType>).map(([status, answer]) => {
    const json = jsonSchema(answer, 'output')
    const description = answer.description ?? 'Success'
    if (produces === undefined) return [status, { description, ...json }] as const
    const content = Object.fromEntries(produces.map((type) => [type, { schema: json }]))
    return [status, { description, content }] as const
  })
  return {
    ...rest,
    ...(params === undefined ? {} : { params: jsonSchema(params as z.ZodType, 'input') }),
    ...(querystring === undefined ? {} : { querystring: jsonSchema(querystring as z.ZodType, 'input') }),
    ...(body === undefined ? {} : { body: jsonSchema(body as z.ZodType, 'input') }),
    response: {
      ...Object.fromEntries(answers),
      '4xx': { description: 'Refused: the code says why, the hint how to mend it', ...jsonSchema(ErrorBody, 'output') },
      '5xx': { description: 'The coordinator failed', ...jsonSchema(ErrorBody, 'output') },
    },
  }
}

function jsonSchema(schema: z.ZodType, io: 'input' | 'output'): Record<string, unknown> {
  const { $schema: _, ...json } = z.toJSONSchema(schema, { target: 'draft-2020-12', io, unrepresentable: 'any' })
  return json
}

/** Checks with zod; a failure becomes a 422 that names the first field at fault. */
export const zodValidator: FastifySchemaCompiler<FastifySchema> =
  ({ schema, httpPart }) =>
  (data: unknown) => {
    const result = (schema as z.ZodType).safeParse(data ?? {})
    if (result.success) return { value: result.data }
    const [issue] = result.error.issues
    const field = [httpPart, ...(issue?.path ?? [])].join('.')
    return { error: new InputError(`${field}: ${issue?.message ?? 'invalid'}`) }
  }

export class InputError extends Error {
  override readonly name = 'InputError'
}

/** Answers are built by our own code: they are written as they are. */
export function useZod(app: FastifyInstance): void {
  app.setValidatorCompiler(zodValidator)
  app.setSerializerCompiler(() => (data) => JSON.stringify(data))
}
