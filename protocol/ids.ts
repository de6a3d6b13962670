// Identifiers that travel. Branded, so that swapped arguments do not compile.
import * as z from 'zod'

const name = /^[a-z0-9][a-z0-9-]{0,62}$/

/** Device and site ids are DNS-label-like: they appear in topics, file names and certificate subjects. */
export const DeviceId = z
  .string()
  .regex(name, 'must match [a-z0-9][a-z0-9-]{0,62}')
  .refine((id) => id !== 'site', "'site' is reserved")
  .brand('DeviceId')
export type DeviceId = z.infer<typeof DeviceId>

export const SiteId = z.string().regex(name, 'must match [a-z0-9][a-z0-9-]{0,62}').brand('SiteId')
export type SiteId = z.infer<typeof SiteId>

/** Random id of one outbox: sequence numbers mean something only within it. */
export const Epoch = z
  .string()
  .regex(/^[A-Za-z0-9_-]{8,64}$/, 'must be 8 to 64 URL-safe characters')
  .brand('Epoch')
export type Epoch = z.infer<typeof Epoch>

export const QueryId = z
  .string()
  .regex(/^q-[A-Za-z0-9_-]{1,60}$/, "must start with 'q-'")
  .brand('QueryId')
export type QueryId = z.infer<typeof QueryId>

/** Names of scheduled queries: as osquery writes them, printable, without control characters. */
export const QueryName = z
  .string()
  .min(1)
  .max(128)
  .regex(/^[^\u0000-\u001f\u007f]+$/, 'must not hold control characters')
