// index.json of a CA: every certificate it ever signed, and the number of its last CRL. It is written before a certificate leaves and
// before a CRL is signed, so a crash can leave a certificate listed that nobody has, never one in the field that nobody can revoke.
// Entries are never removed: an expired certificate may still deliver old data, and only if it was not revoked.
import { join } from 'node:path'
import * as z from 'zod'
import { AppError } from '../lib/errors.ts'
import { readBounded, replaceFile } from './files.ts'
import { caFiles } from './layout.ts'
import { roles } from './roles.ts'

/** Reasons of RFC 5280 §5.3.1 that fit a plant, with their codes. */
export const revocationReasons = {
  unspecified: 0,
  'key-compromise': 1,
  'ca-compromise': 2,
  superseded: 4,
  'cessation-of-operation': 5,
  'privilege-withdrawn': 9,
} as const
export type RevocationReason = keyof typeof revocationReasons

const isoTime = z.iso.datetime()

const IndexEntry = z.looseObject({
  serial: z.string().regex(/^[0-9a-f]{1,40}$/),
  cn: z.string(),
  role: z.enum(roles),
  notBefore: isoTime,
  notAfter: isoTime,
  /** Fingerprint of the certificate. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  revokedAt: isoTime.optional(),
  reason: z.enum(Object.keys(revocationReasons) as [RevocationReason, ...RevocationReason[]]).optional(),
})
export type IndexEntry = z.infer<typeof IndexEntry>

const CaIndex = z.looseObject({
  v: z.literal(1),
  crlNumber: z.int().min(1),
  certificates: z.array(IndexEntry),
})
export type CaIndex = z.infer<typeof CaIndex>

export const indexJson = (index: CaIndex) => `${JSON.stringify(index, null, 1)}\n`

/** Reads a CA's index; throws PKI_INDEX_BROKEN when it is not what certs/ wrote. */
export async function readIndex(caFolder: string): Promise<CaIndex> {
  const path = join(caFolder, caFiles.index)
  const text = (await readBounded(path, 'restore it from a backup of the PKI directory')).toString()
  const broken = (why: string, cause?: unknown) =>
    new AppError('PKI_INDEX_BROKEN', `${path} is not a tidegate certificate index: ${why}`, {
      hint: 'restore it from a backup; without it, certificates in the field cannot be named for revocation',
      exit: 'certificate',
      cause,
    })
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (error) {
    throw broken((error as Error).message, error)
  }
  const parsed = CaIndex.safeParse(json)
  if (!parsed.success) throw broken(z.prettifyError(parsed.error).replaceAll('\n', ' '))
  return parsed.data
}

export async function writeIndex(caFolder: string, index: CaIndex): Promise<void> {
  await replaceFile(join(caFolder, caFiles.index), { data: indexJson(index) })
}
