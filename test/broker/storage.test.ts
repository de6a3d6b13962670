// A full disk, for real: the journal on a small tmpfs. No PUBACK lies, nothing has to be restarted once there is space
// again, and even a disk that the journal itself has filled can be emptied, and opened.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startJournal } from '../../gateway/journal/client.ts'
import { openJournalReader } from '../../gateway/journal/read.ts'
import { envelope, Plant, publish, snapshot } from './plant.ts'

const isRoot = process.getuid?.() === 0
if (!isRoot) console.error('test/broker/storage: not root, so no tmpfs can be mounted and the full disk is not tested')

let disk: string
beforeEach(() => {
  disk = mkdtempSync(join(tmpdir(), 'tidegate-disk-'))
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tidegate-test', disk])
})
let plant: Plant | undefined
afterEach(async () => {
  await plant?.stop()
  plant = undefined
  execFileSync('umount', [disk])
  rmSync(disk, { recursive: true })
})

const freeBytes = () => {
  const { bavail, bsize } = statfsSync(disk)
  return bavail * bsize
}
/** An envelope of some 50 kB. */
const large = (seq: number) =>
  envelope('press-1', [{ ...snapshot(seq), columns: ['text'], rows: [['x'.repeat(50_000)]] }])

/** Publishes until the gateway no longer takes it; the seqs that were acknowledged. */
async function publishUntilRefused(plant: Plant, from: number): Promise<number[]> {
  const acked: number[] = []
  const client = await plant.connect(await plant.pki.device('press-1'), 'press-1')
  for (let seq = from; ; seq++) {
    try {
      await publish(client, 'press-1', large(seq))
      acked.push(seq)
    } catch {
      return acked
    }
  }
}

function storedSeqs(path: string): (number | null)[] {
  const reader = openJournalReader(path)
  const seqs = reader.after(0, { limit: 10_000, maxBytes: 1e9 }).map(({ seq }) => seq)
  reader.close()
  return seqs
}

test.runIf(isRoot)(
  'with a full disk nothing is acknowledged, and service goes on when there is space again',
  async () => {
    const path = join(disk, 'journal.db')
    const ballast = join(disk, 'ballast')
    plant = await Plant.start({ journal: { path, reserveBytes: 65_536 } })
    const problems: string[] = []
    plant.journal.onStorage((error) => void problems.push(error === undefined ? 'mended' : 'failed'))
    writeFileSync(ballast, Buffer.alloc(freeBytes() - 1_500_000))
    const acked = await publishUntilRefused(plant, 1)
    expect((await plant.logged('storage-failed')).device).toBe('press-1')
    expect(acked.length).toBeGreaterThan(0)
    expect(storedSeqs(path)).toEqual(acked)

    rmSync(ballast)
    const client = await plant.connect(await plant.pki.device('press-1'), 'press-1')
    const next = acked.length + 1
    await publish(client, 'press-1', large(next))
    expect(storedSeqs(path)).toEqual([...acked, next])
    expect((await plant.journal.ledger())[0]?.epochs[0]?.received).toEqual([[1, next]])
    expect(problems).toEqual(['failed', 'mended'])
    expect(plant.fatal).toEqual([])
  },
)

test.runIf(isRoot)('a disk that the journal has filled is emptied by trim, and opens after a restart', async () => {
  const path = join(disk, 'journal.db')
  const reserveBytes = 5 * 1_048_576
  plant = await Plant.start({ journal: { path, reserveBytes } })
  const acked = await publishUntilRefused(plant, 1)
  // Nothing may be left for anybody.
  writeFileSync(join(disk, 'ballast'), Buffer.alloc(freeBytes()))
  await plant.stop()
  plant = undefined

  const journal = await startJournal({ path, reserveBytes })
  expect(storedSeqs(path)).toEqual(acked)
  const { lastId } = await journal.stats()
  expect(await journal.trim({ historyUpTo: lastId, answersUpTo: lastId })).toBe(acked.length)
  expect(storedSeqs(path)).toEqual([])
  await journal.close()

  plant = await Plant.start({ journal: { path, reserveBytes } })
  const client = await plant.connect(await plant.pki.device('press-1'), 'press-1')
  // What was trimmed is still known: a repeat is acknowledged and not stored again.
  await publish(client, 'press-1', large(1))
  await publish(client, 'press-1', large(acked.length + 1))
  expect(storedSeqs(path)).toEqual([acked.length + 1])
})

test.runIf(isRoot)('a journal at its own limit refuses records and takes them again after a trim', async () => {
  const path = join(disk, 'journal.db')
  plant = await Plant.start({ journal: { path, maxBytes: 1_048_576, reserveBytes: 65_536 } })
  const acked = await publishUntilRefused(plant, 1)
  expect((await plant.journal.stats()).usedBytes).toBeLessThanOrEqual(1_048_576)
  const { lastId } = await plant.journal.stats()
  await plant.journal.trim({ historyUpTo: lastId, answersUpTo: lastId })
  const more = await publishUntilRefused(plant, acked.length + 1)
  expect(more.length).toBeGreaterThan(acked.length / 2)
})
