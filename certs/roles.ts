// What a certificate may be for. The role stands in the subject's OU and the id in its CN; both are checked wherever a certificate
// is read. No X.509 library is imported here, because the agent's bundle carries this file.
import { AppError } from '../lib/errors.ts'
import { DeviceId, SiteId } from '../protocol/ids.ts'

export const roles = ['device', 'gateway', 'coordinator', 'site-ca', 'root-ca'] as const
export type Role = (typeof roles)[number]

export const serverAuth = '1.3.6.1.5.5.7.3.1'
export const clientAuth = '1.3.6.1.5.5.7.3.2'

/**
 * Extended key usages each role must have (RFC 5280 §4.2.1.12). One gateway certificate faces both ways: TLS server for devices,
 * TLS client at the coordinator. A device can only ever be a client, so that a stolen one cannot pose as a gateway.
 */
export const usagesOfRole: Record<Role, readonly string[]> = {
  device: [clientAuth],
  gateway: [serverAuth, clientAuth],
  coordinator: [serverAuth],
  'site-ca': [],
  'root-ca': [],
}

export function isRole(text: unknown): text is Role {
  return roles.includes(text as Role)
}

/** The id when it fits its role; undefined when it does not. Root CAs are named by the deployment and not checked here. */
export function isIdOfRole(id: string, role: Role): boolean {
  if (role === 'root-ca') return id !== ''
  return (role === 'device' ? DeviceId : SiteId).safeParse(id).success
}

/** Throws ID_INVALID (exit 2) unless `id` may stand in a certificate of this role. */
export function requireId(id: string, role: Exclude<Role, 'root-ca'>): string {
  if (isIdOfRole(id, role)) return id
  const reserved = role === 'device' && id === 'site'
  throw new AppError(
    'ID_INVALID',
    `${JSON.stringify(id)} cannot be the id of a ${role}${reserved ? ": it is reserved for the site's own topics" : ''}`,
    {
      hint: 'use 1 to 63 lower-case letters, digits and hyphens, beginning with a letter or digit, for example press-07',
      exit: 'usage',
    },
  )
}
