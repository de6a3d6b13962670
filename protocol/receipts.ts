// A receipt says: everything up to segment n of this chain is committed at the centre. Only a receipt lets a gateway delete.
import * as z from 'zod'
import { Epoch, SiteId } from './ids.ts'
import { verifyJws, type Signer, type TrustedKey } from './jws.ts'
import { parseJson } from './json.ts'
import { parse } from './records.ts'
import { Refusal } from './refusal.ts'
import { protocolVersion } from './version.ts'

export const Receipt = z.looseObject({
  v: z.int().min(1),
  site: SiteId,
  chain: Epoch,
  upTo: z.int().min(0),
  /** SHA-256 of the file of segment upTo. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  atMs: z.int().min(0),
})
export type Receipt = z.infer<typeof Receipt>

export function encodeReceipt(receipt: Omit<Receipt, 'v'>, signer: Signer): Promise<string> {
  return signer.sign('tg-receipt', { v: protocolVersion, ...receipt })
}

/** Verifies a receipt of the centre for `site`. Throws Refusal. */
export async function decodeReceipt(jws: string, site: SiteId, keys: readonly TrustedKey[]): Promise<Receipt> {
  const { payload } = await verifyJws(jws, 'tg-receipt', keys)
  const receipt = parse(Receipt, parseJson(payload), 'receipt')
  if (receipt.v > protocolVersion) throw new Refusal('version-unsupported', `receipt version ${receipt.v}`)
  if (receipt.site !== site) throw new Refusal('wrong-site', `a receipt for ${receipt.site}`)
  return receipt
}
