// docs/configuration.md is compared with the schemas both ways: every key is on the page, and the page invents none.
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import * as z from 'zod'
import { agentConfig } from '../../agent-lite/config.ts'
import { CoordinatorConfigSchema } from '../../coordinator/config.ts'
import { GatewayConfig } from '../../gateway/config.ts'

const page = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8')

/** Keys in the first column of the tables of a section. */
function keysOnPage(section: string): string[] {
  const from = page.indexOf(`\n## ${section}\n`)
  const to = page.indexOf('\n## ', from + 1)
  return page
    .slice(from, to < 0 ? undefined : to)
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .flatMap((line) => [...(line.split(' | ')[0] ?? '').matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? ''))
    .sort()
}

/** Dotted keys of a schema; sections are named by what is in them. */
function keysOfSchema(schema: z.core.$ZodType, path = ''): string[] {
  const { def } = schema._zod as {
    def: { type: string; innerType?: z.core.$ZodType; in?: z.core.$ZodType; shape?: Record<string, z.core.$ZodType> }
  }
  if (def.innerType) return keysOfSchema(def.innerType, path)
  if (def.type === 'pipe' && def.in) return keysOfSchema(def.in, path)
  if (def.type !== 'object' || !def.shape) return [path]
  return Object.entries(def.shape).flatMap(([key, value]) => keysOfSchema(value, path === '' ? key : `${path}.${key}`))
}

test.each([
  // What is inside options, schedule and packs is osquery's.
  ['agent.yaml', agentConfig('agent.yaml'), /^(options|schedule|packs)\..*/],
  ['gateway.yaml', GatewayConfig, /^$/],
  ['coordinator.yaml', CoordinatorConfigSchema, /^$/],
] as const)('the page lists exactly the keys of %s', (section, schema, beyond) => {
  const keys = keysOfSchema(schema).map((key) => (beyond.test(key) ? (key.split('.')[0] ?? key) : key))
  expect(keysOnPage(section)).toEqual([...new Set(keys)].sort())
})
