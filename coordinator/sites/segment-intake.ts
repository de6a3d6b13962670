// A segment's way in: verify, then commit. Run in the store's writing thread, because a segment of the largest size
// takes seconds to read, and no site may hold up the others or the people.
import { decodeSegment, type Lane } from '../../protocol/segments.ts'
import type { Epoch, SiteId } from '../../protocol/ids.ts'
import { loadTrustedKey } from '../../protocol/jws.ts'
import { Refusal, type RefusalReason } from '../../protocol/refusal.ts'
import type { CommitOutcome, Store } from '../store/store.ts'

export interface ArrivedSegment {
  file: Uint8Array
  /** The number it was sent as. */
  n: number
  site: SiteId
  /** Public keys that may sign for the site. */
  keysPem: readonly string[]
  atMs: number
}

export type TakenSegment =
  | { chain: Epoch; lane: Lane; items: number; outcome: CommitOutcome }
  | { refusal: { reason: RefusalReason; message: string } }

/** Commits a segment, or says why it is none. When this resolves, what it says is on disk. */
export async function takeSegment(arrived: ArrivedSegment, store: Store): Promise<TakenSegment> {
  const { file, n, site, keysPem, atMs } = arrived
  try {
    const keys = await Promise.all(keysPem.map((pem) => loadTrustedKey(pem, site)))
    const segment = await decodeSegment(file, site, keys)
    const { header } = segment
    if (header.n !== n) throw new Refusal('bad-shape', `segment ${header.n} was sent as number ${n}`)
    const outcome = await store.commitSegment(segment, atMs)
    return { chain: header.chain, lane: header.lane, items: header.items, outcome }
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    return { refusal: { reason: error.reason, message: error.message } }
  }
}
