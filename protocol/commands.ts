// Commands travel down, signed by the centre or by the plant. A gateway passes the centre's on but cannot make them.
import * as z from 'zod'
import { DeviceId, QueryId, SiteId } from './ids.ts'
import { verifyJws, type Signer, type TrustedKey } from './jws.ts'
import { parseJson } from './json.ts'
import { limits } from './limits.ts'
import { parse } from './records.ts'
import { Refusal } from './refusal.ts'
import { protocolVersion } from './version.ts'

/** Who speaks: the central team, or the plant engineer through the gateway's own key. */
export const authorities = ['centre', 'plant'] as const

/** What a query may cost the device; plants decide by it. */
export const costClasses = ['light', 'normal', 'heavy'] as const

const QueryBody = z.looseObject({
  sql: z.string().min(1).max(limits.sqlBytes),
  maxRows: z.int().min(1).max(limits.rowsPerRecord).default(10_000),
  maxBytes: z
    .int()
    .min(1)
    .max(64 * 1_048_576)
    .default(8 * 1_048_576),
  timeoutMs: z.int().min(1).max(3_600_000).default(60_000),
  costClass: z.enum(costClasses).default('normal'),
})

const head = {
  v: z.int().min(1),
  /** Unique for ever; a query's command carries the query's id. */
  id: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/),
  authority: z.enum(authorities),
  issuedAtMs: z.int().min(0),
  notBeforeMs: z.int().min(0),
  notAfterMs: z.int().min(0),
  target: z.looseObject({
    site: SiteId,
    devices: z.union([z.literal('*'), z.array(DeviceId).min(1).max(100_000)]),
  }),
  /** Who asked and why: shown at the plant, kept in both audit logs. */
  by: z.string().max(256).optional(),
  why: z.string().max(1024).optional(),
}

export const Command = z.discriminatedUnion('kind', [
  z.looseObject({ ...head, kind: z.literal('query'), id: QueryId, body: QueryBody }),
  z.looseObject({ ...head, kind: z.literal('cancel'), body: z.looseObject({ queryId: QueryId }) }),
  z.looseObject({
    ...head,
    kind: z.literal('config'),
    body: z.looseObject({ hash: z.string().max(128), config: z.unknown() }),
  }),
  z.looseObject({ ...head, kind: z.literal('renew'), body: z.looseObject({}) }),
  z.looseObject({ ...head, kind: z.literal('hint'), body: z.looseObject({}) }),
])
export type Command = z.infer<typeof Command>
export type CommandInput = z.input<typeof Command>

/** Signs a command. Throws Refusal when it does not fit the schema or the size limit. */
export async function encodeCommand(command: CommandInput, signer: Signer): Promise<string> {
  const jws = await signer.sign('tg-command', parse(Command, command, 'command'))
  if (jws.length > limits.commandBytes) throw new Refusal('too-large', `a command of ${jws.length} bytes`)
  return jws
}

/**
 * Verifies and decodes a command. `keys` have owner `centre` or `plant`; the owner of the key that signed it must be
 * the authority that it names. Time and target are not checked here: see checkCommandTime and addresses.
 */
export async function decodeCommand(jws: string, keys: readonly TrustedKey[]): Promise<Command> {
  if (jws.length > limits.commandBytes) throw new Refusal('too-large', `a command of ${jws.length} bytes`)
  const { payload, signedBy } = await verifyJws(jws, 'tg-command', keys)
  const value = parseJson(payload)
  const version = (value as { v?: unknown } | null)?.v
  if (typeof version === 'number' && version > protocolVersion) {
    throw new Refusal('version-unsupported', `command version ${version}; this side speaks up to ${protocolVersion}`)
  }
  const command = parse(Command, value, 'command')
  if (command.authority !== signedBy.owner) {
    throw new Refusal(
      'bad-signature',
      `a command of the ${command.authority} signed with the key of the ${signedBy.owner}`,
    )
  }
  return command
}

/** Throws Refusal `not-yet-valid` or `expired` by the given clock. */
export function checkCommandTime(command: Command, nowMs: number): void {
  if (nowMs < command.notBeforeMs) throw new Refusal('not-yet-valid', `valid from ${iso(command.notBeforeMs)}`)
  if (nowMs > command.notAfterMs) throw new Refusal('expired', `was valid until ${iso(command.notAfterMs)}`)
}

/** Whether the command is meant for this device. */
export function addresses(command: Command, site: string, device: string): boolean {
  const { target } = command
  return target.site === site && (target.devices === '*' || target.devices.some((id) => id === device))
}

function iso(ms: number): string {
  return new Date(Math.min(ms, 8.64e15)).toISOString()
}
