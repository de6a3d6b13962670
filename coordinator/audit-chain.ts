// The hash chain of the audit log: each entry's hash covers the entry and the hash before it, so that a changed,
// missing or inserted entry shows. Whoever keeps the newest hash elsewhere also sees entries cut off at the end.
import { createHash } from 'node:crypto'
import type { AuditRecord } from './store/store.ts'

/** `prev` of the first entry. */
export const auditStart = '0'.repeat(64)

/** SHA-256 of the JSON array [n, atMs, who, what, detail, prev]. */
export function auditHash({ n, atMs, who, what, detail, prev }: Omit<AuditRecord, 'hash'>): string {
  return createHash('sha256')
    .update(JSON.stringify([n, atMs, who, what, detail, prev]))
    .digest('hex')
}
