// A segment's way in: verify, commit, receipt. The receipt is signed after COMMIT and never before.
import type { DecodedSegment } from '../../protocol/segments.ts'
import { decodeSegment } from '../../protocol/segments.ts'
import type { SiteId } from '../../protocol/ids.ts'
import { loadTrustedKey, type Signer } from '../../protocol/jws.ts'
import { encodeReceipt } from '../../protocol/receipts.ts'
import { Refusal } from '../../protocol/refusal.ts'
import type { CommitOutcome, Store } from '../store/store.ts'

export type IntakeResult =
  | { receipt: string; outcome: Extract<CommitOutcome, { kind: 'committed' | 'repeat' }>; segment: DecodedSegment }
  | { receipt: undefined; outcome: Extract<CommitOutcome, { kind: 'out-of-order' }>; segment: DecodedSegment }

/** Throws Refusal for anything that is not a whole, valid segment of this site. `keysPem`: the site's public keys. */
export async function takeSegment(
  file: Uint8Array,
  n: number,
  site: SiteId,
  keysPem: readonly string[],
  { store, signer, now }: { store: Store; signer: Signer; now: () => number },
): Promise<IntakeResult> {
  const keys = await Promise.all(keysPem.map((pem) => loadTrustedKey(pem, site)))
  const segment = await decodeSegment(file, site, keys)
  const { header } = segment
  if (header.n !== n) throw new Refusal('bad-shape', `segment ${header.n} was sent as number ${n}`)
  const outcome = await store.commitSegment(segment, now())
  if (outcome.kind === 'out-of-order') return { receipt: undefined, outcome, segment }
  const receipt = await encodeReceipt(
    { site, chain: header.chain, upTo: outcome.n, sha256: outcome.sha256, atMs: now() },
    signer,
  )
  return { receipt, outcome, segment }
}
