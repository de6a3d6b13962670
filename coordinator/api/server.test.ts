import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { newKey } from '../../certs/x509.ts'
import { createLog } from '../../lib/log.ts'
import { createSigner } from '../../protocol/jws.ts'
import { Notifier } from '../notifier.ts'
import { Centre } from '../queries/centre.ts'
import { SiteLinks } from '../sites/links.ts'
import { openSqliteStore } from '../store/sqlite/open.ts'
import type { Store } from '../store/store.ts'
import { createApiServer } from './server.ts'
import { createToken } from './tokens.ts'

interface Operation {
  summary?: string
  tags?: string[]
  security?: unknown
  parameters?: { name: string; in: string; required?: boolean; schema?: object }[]
  requestBody?: { content: Record<string, { schema: object }> }
  responses: Record<string, { description?: string; content?: Record<string, { schema: object }> }>
}

let folder: string
let store: Store
let app: FastifyInstance
const { id, secret, sha256 } = createToken()

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tidegate-api-'))
  store = openSqliteStore(join(folder, 'coordinator.db'))
  await store.addToken({ id, name: 'alice', sha256, createdAtMs: 1, expiresAtMs: null, who: 'test' })
  const { privatePem, publicKey } = await newKey('ed25519')
  const signer = await createSigner(privatePem, publicKey.export({ type: 'spki', format: 'pem' }).toString())
  const failing: Store = { ...store, auditAfter: () => Promise.reject(new Error('disk I/O error at /secret/place')) }
  const shared = { store: failing, notifier: new Notifier(), links: new SiteLinks() }
  app = await createApiServer({
    ...shared,
    // Never listens: requests are handed to it.
    tls: { cert: '', key: '' },
    centre: new Centre({ ...shared, signer }),
    requestsPerMinute: 10_000,
    version: '1.2.3',
    log: createLog('test', 'silent'),
    stopping: new AbortController().signal,
  })
  await app.ready()
})
afterAll(async () => {
  await app.close()
  await store.close()
  rmSync(folder, { recursive: true })
})

const document = () =>
  app.swagger() as unknown as { openapi: string; paths: Record<string, Record<string, Operation>>; components: object }

const expected = [
  'get /api/v1/audit',
  'get /api/v1/hosts',
  'get /api/v1/hosts/{id}',
  'get /api/v1/hosts/{id}/tables/{name}',
  'get /api/v1/ledger',
  'get /api/v1/queries',
  'get /api/v1/queries/{id}',
  'get /api/v1/queries/{id}/results',
  'get /api/v1/results',
  'get /api/v1/sites',
  'post /api/v1/queries',
  'post /api/v1/queries/{id}/cancel',
]

test('the OpenAPI document covers each route under /api/v1, and no other', () => {
  const { openapi, paths } = document()
  expect(openapi).toBe('3.1.0')
  const documented = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method} ${path}`),
  )
  expect(documented.sort()).toEqual(expected)
  for (const entry of expected) {
    const [method = '', url = ''] = entry.split(' ')
    const pattern = url.replace(/\{(\w+)\}/g, ':$1')
    expect(app.hasRoute({ method: method.toUpperCase() as 'GET', url: pattern }), entry).toBe(true)
  }
})

test('each operation says what it does, what it takes, and how it answers and refuses', () => {
  for (const [path, methods] of Object.entries(document().paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const name = `${method} ${path}`
      expect(operation.summary, name).toMatch(/\w{3}/)
      expect(operation.tags, name).toHaveLength(1)
      expect(operation.security, name).toEqual([{ token: [] }])
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, parameter]) => parameter)
      const given = (operation.parameters ?? []).filter((parameter) => parameter.in === 'path')
      expect(given.map((parameter) => parameter.name).sort(), name).toEqual(inPath.sort())
      expect(
        given.every((parameter) => parameter.required === true),
        name,
      ).toBe(true)
      const success = Object.keys(operation.responses).find((status) => status.startsWith('2'))
      expect(Object.values(operation.responses[success ?? '']?.content ?? {})[0]?.schema, name).toBeTypeOf('object')
      expect(operation.responses['4XX']?.description, name).toBeTypeOf('string')
      expect(operation.responses['5XX']?.description, name).toBeTypeOf('string')
    }
  }
})

test('the document holds no reference that leads nowhere, and is plain JSON', () => {
  const whole = document()
  const text = JSON.stringify(whole)
  for (const [, pointer = ''] of text.matchAll(/"\$ref":"#\/([^"]+)"/g)) {
    const target = pointer
      .split('/')
      .reduce<unknown>((node, key) => (node as Record<string, unknown> | undefined)?.[key], whole)
    expect(target, pointer).toBeDefined()
  }
  expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(whole)))
})

test('what the document shows of a query is what a query needs', () => {
  const schema = document().paths['/api/v1/queries']?.['post']?.requestBody?.content['application/json']?.schema as {
    required: string[]
    additionalProperties: boolean
    properties: Record<string, { default?: unknown; maximum?: number }>
  }
  expect(schema.required).toEqual(['sql', 'targets'])
  expect(schema.additionalProperties).toBe(false)
  expect(schema.properties['validForMs']).toMatchObject({ default: 3_600_000, maximum: 90 * 86_400_000 })
})

test('a failure inside tells the caller nothing but where to look', async () => {
  const headers = { authorization: `Bearer ${secret}` }
  const reply = await app.inject({ method: 'GET', url: '/api/v1/audit', headers })
  expect(reply.statusCode).toBe(500)
  expect(reply.json()).toMatchObject({ error: { code: 'INTERNAL', message: 'the coordinator failed' } })
  expect(reply.body).not.toMatch(/disk|secret/)
})
