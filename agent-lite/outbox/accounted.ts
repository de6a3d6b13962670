// Which seqs are accounted for (acknowledged by the gateway, or named in a gap that was), and which come next. Written now
// and then: a stale copy only makes the device send a record twice, which the gateway recognises. A damaged copy must not
// be believed, so it carries a checksum; and it is synced, since it may be the only witness of seqs given out.
import { SeqRanges, type SeqRange } from '../../protocol/seq-ranges.ts'
import { crc32 } from './crc32.ts'
import type { Disk } from './disk.ts'

const name = 'accounted.json'

export interface Accounted {
  seqs: SeqRanges
  /** Lowest seq that had not been given out; 1 when nothing is known. */
  nextSeq: number
}

/** Throws what the disk throws. */
export async function saveAccounted(
  disk: Disk,
  { epoch, seqs, nextSeq }: Accounted & { epoch: string },
): Promise<void> {
  const text = JSON.stringify({ epoch, ranges: seqs, nextSeq })
  const file = Buffer.from(`${crc32(Buffer.from(text))} ${text}`)
  await disk.write(`${name}.new`, 0, file)
  await disk.truncate(`${name}.new`, file.byteLength)
  await disk.sync(`${name}.new`)
  await disk.rename(`${name}.new`, name)
  await disk.syncFolder()
}

export async function loadAccounted(disk: Disk, epoch: string): Promise<Accounted> {
  const nothing: Accounted = { seqs: new SeqRanges(), nextSeq: 1 }
  const text = await disk.read(name).then(String, () => '')
  const space = text.indexOf(' ')
  if (space < 0 || String(crc32(Buffer.from(text.slice(space + 1)))) !== text.slice(0, space)) return nothing
  const saved = JSON.parse(text.slice(space + 1)) as { epoch: string; ranges: SeqRange[]; nextSeq: number }
  if (saved.epoch !== epoch) return nothing
  return { seqs: new SeqRanges(saved.ranges), nextSeq: saved.nextSeq }
}
