import { pino } from 'pino'
import { beforeEach, expect, test } from 'vitest'
import type { DeviceRecord, GapRecord } from '../../protocol/records.ts'
import { ForgetfulDisk } from '../../test/support/forgetful-disk.ts'
import { Outbox, type Lease, type OutboxOptions } from './outbox.ts'

const fileBytes = 4096
const log = pino({ level: 'silent' })
let disk: ForgetfulDisk

beforeEach(() => {
  disk = new ForgetfulDisk()
})

const open = (options: Partial<OutboxOptions> = {}): Promise<Outbox> =>
  Outbox.open('/data/outbox', { maxBytes: 8 * fileBytes, fileBytes, flushDelayMs: 3_600_000, log, disk, ...options })

const status = (message: string): Omit<DeviceRecord, 'seq'> => ({ kind: 'status', message })

/** Text that no compressor makes smaller, so that sizes in these tests mean something. */
function noise(byteCount: number, seed = 1): string {
  let state = seed
  return Array.from({ length: byteCount }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return String.fromCharCode(0x21 + ((state >>> 16) % 90))
  })
    .join('')
    .replaceAll('"', '~')
    .replaceAll('\\', '~')
}

async function addMany(outbox: Outbox, from: number, to: number): Promise<void> {
  for (let index = from; index < to; index++) {
    outbox.add(status(noise(1000, index)))
    if (index % 3 === 2) await outbox.flush()
  }
  await outbox.flush()
}

const seqs = (lease: Lease | undefined): number[] => (lease?.records ?? []).map(({ seq }) => seq ?? 0)

async function everything(outbox: Outbox): Promise<DeviceRecord[]> {
  const records: DeviceRecord[] = []
  await outbox.flush()
  for (let lease = await outbox.lease(1_000_000); lease !== undefined; lease = await outbox.lease(1_000_000)) {
    records.push(...lease.records)
  }
  return records
}

const gaps = (records: readonly DeviceRecord[]): (readonly [number, number, string])[] =>
  records
    .filter((record): record is GapRecord => record.kind === 'gap')
    .map(({ from, to, reason }) => [from, to, reason] as const)

const logFiles = (): string[] => [...disk.contents.keys()].filter((name) => name.endsWith('.log'))

test('records come back in the order they were added, urgent ones first', async () => {
  const outbox = await open()
  outbox.add(status('a'))
  outbox.add(status('b'), { urgent: true })
  outbox.add(status('c'))
  await outbox.flush()
  expect(seqs(await outbox.lease(100_000))).toEqual([2, 1, 3])
  expect(await outbox.lease(100_000)).toBeUndefined()
})

test('a lease is as large as asked, but never empty while records wait', async () => {
  const outbox = await open()
  for (let index = 0; index < 5; index++) outbox.add(status(noise(200, index)))
  await outbox.flush()
  expect(seqs(await outbox.lease(600))).toEqual([1, 2])
  expect(seqs(await outbox.lease(1))).toEqual([3])
  expect(seqs(await outbox.lease(100_000, 1))).toEqual([4])
})

test('no record is handed out before it is synced', async () => {
  const outbox = await open()
  const added = outbox.add(status('a'))
  expect(await outbox.lease(100_000)).toBeUndefined()
  await outbox.flush()
  expect(await added.stored).toBe(true)
  expect(seqs(await outbox.lease(100_000))).toEqual([1])
})

test('records of one moment share one write and one sync', async () => {
  const outbox = await open()
  await outbox.add(status('first'), { urgent: true }).stored
  const before = disk.operationCount
  for (let index = 0; index < 20; index++) outbox.add(status(`run ${index}`), { urgent: true })
  await outbox.flush()
  expect(outbox.state.writeCount).toBe(2)
  expect(disk.operationCount - before).toBe(2)
})

test('a released record is handed out again; an acknowledged one is not, even after a restart', async () => {
  let outbox = await open()
  for (const text of ['a', 'b', 'c']) outbox.add(status(text))
  await outbox.flush()
  const first = await outbox.lease(1)
  const second = await outbox.lease(1)
  outbox.release(first as Lease)
  await outbox.acknowledge(second as Lease)
  expect(seqs(await outbox.lease(100_000))).toEqual([1, 3])
  await outbox.close()
  outbox = await open()
  expect(seqs(await outbox.lease(100_000))).toEqual([1, 3])
  expect(outbox.add(status('d')).seq).toBe(4)
})

test('files whose records are all acknowledged go, and the newest stays so that seqs continue', async () => {
  let outbox = await open()
  await addMany(outbox, 0, 12)
  expect(logFiles().length).toBe(4)
  for (let lease = await outbox.lease(2000); lease; lease = await outbox.lease(2000)) await outbox.acknowledge(lease)
  expect(logFiles().length).toBe(1)
  disk.crash(() => 0)
  outbox = await open()
  expect(outbox.state.nextSeq).toBe(13)
})

test('when it is full the oldest file of low priority goes, and a gap names exactly what was in it', async () => {
  const outbox = await open()
  const lost: unknown[] = []
  outbox.onLost = (ranges, reason) => lost.push([ranges, reason])
  outbox.add(status(noise(1000, 1)))
  outbox.add(status('an answer'), { urgent: true })
  outbox.add(status(noise(1000, 2)))
  await outbox.flush()
  const acknowledged = await outbox.lease(10)
  expect(seqs(acknowledged)).toEqual([2])
  outbox.release(acknowledged as Lease)
  await addMany(outbox, 3, 23)
  expect(lost).toEqual([
    [
      [
        [1, 1],
        [3, 3],
      ],
      'outbox-full',
    ],
  ])
  const records = await everything(outbox)
  expect(gaps(records)).toEqual([
    [1, 1, 'outbox-full'],
    [3, 3, 'outbox-full'],
  ])
  expect(records.map(({ seq }) => seq)).toContain(2)
  expect(records.map(({ seq }) => seq)).not.toContain(1)
  expect(outbox.state.byteCount).toBeLessThanOrEqual(8 * fileBytes)
  expect(outbox.state.lostCount).toBe(2)
})

test('what was acknowledged is not named in a gap when its file is dropped', async () => {
  const outbox = await open()
  for (let index = 0; index < 3; index++) outbox.add(status(noise(1000, index)))
  await outbox.flush()
  await outbox.acknowledge((await outbox.lease(1)) as Lease)
  await addMany(outbox, 3, 22)
  expect(gaps(await everything(outbox))).toEqual([[2, 3, 'outbox-full']])
})

test('the gap is durable before the file it speaks of is removed', async () => {
  const outbox = await open()
  for (let index = 0; index < 3; index++) outbox.add(status(noise(1000, index)))
  await outbox.flush()
  const [oldest = ''] = logFiles()
  let gapAtRemoval = ''
  const remove = disk.remove.bind(disk)
  disk.remove = (name) => {
    if (name === oldest) {
      const high = logFiles().find((each) => each.includes('-high-')) ?? ''
      gapAtRemoval = disk.durableText(high)
    }
    return remove(name)
  }
  await addMany(outbox, 3, 22)
  expect(gapAtRemoval).toContain('"kind":"gap"')
})

test('a gap that is dropped itself is told again', async () => {
  const outbox = await open()
  for (let index = 0; index < 200; index++) {
    outbox.add(status(noise(1000, index)), { urgent: index > 40 })
    await outbox.flush()
  }
  const records = await everything(outbox)
  const told = gaps(records)
  const delivered = new Set(records.map(({ seq }) => seq))
  const unaccounted: number[] = []
  for (let seq = 1; seq < outbox.state.nextSeq; seq++) {
    if (!delivered.has(seq) && !told.some(([from, to]) => seq >= from && seq <= to)) unaccounted.push(seq)
  }
  expect(unaccounted).toEqual([])
  expect(told.length).toBeGreaterThan(0)
})

test('a flipped bit costs the record it hit, which a gap names; the damaged file is kept for people', async () => {
  let outbox = await open()
  for (let index = 0; index < 3; index++) outbox.add(status(noise(300, index)))
  await outbox.close()
  const [name = ''] = logFiles()
  disk.damage(name, 500)
  outbox = await open()
  expect(outbox.atStart.lost).toEqual([[2, 2]])
  const records = await everything(outbox)
  expect(records.map(({ seq }) => seq)).toEqual([4, 1, 3])
  expect(gaps(records)).toEqual([[2, 2, 'outbox-damaged']])
  expect([...disk.contents.keys()]).toContain(`damaged/${name}`)
  await outbox.close()
  expect((await open()).state.lostCount).toBe(0)
})

test('a file that the disk does not give back is set aside, and the rest goes on', async () => {
  let outbox = await open()
  for (let index = 0; index < 3; index++) outbox.add(status(noise(300, index)), { urgent: index === 1 })
  await outbox.close()
  const lowFile = logFiles().find((name) => name.includes('-low-')) ?? ''
  const read = disk.read.bind(disk)
  disk.read = (name) => (name === lowFile ? Promise.reject(new Error('EIO')) : read(name))
  outbox = await open()
  const records = await everything(outbox)
  expect(records.filter(({ kind }) => kind === 'status').map(({ seq }) => seq)).toEqual([2])
  const named = gaps(records)
  expect([1, 3].every((seq) => named.some(([from, to]) => seq >= from && seq <= to))).toBe(true)
  expect([...disk.contents.keys()]).toContain(`damaged/${lowFile}`)
})

test('damage that comes while it runs is named when the record is read', async () => {
  const outbox = await open()
  for (let index = 0; index < 3; index++) outbox.add(status(noise(300, index)))
  await outbox.flush()
  disk.damage(logFiles()[0] ?? '', 500)
  expect(seqs(await outbox.lease(100_000))).toEqual([1, 3])
  await outbox.flush()
  expect(gaps((await outbox.lease(100_000))?.records ?? [])).toEqual([[2, 2, 'outbox-damaged']])
})

test('a full disk: new records are refused and named later, old ones give way, and the process lives', async () => {
  const outbox = await open()
  for (let index = 0; index < 3; index++) outbox.add(status(noise(1000, index)))
  await outbox.flush()
  disk.capacityBytes = [...disk.contents.values()].reduce((sum, bytes) => sum + bytes.byteLength, 0)
  const pressed = outbox.add(status(noise(1000, 4)))
  await outbox.flush()
  expect(await pressed.stored).toBe(true)
  expect(outbox.state.lostCount).toBe(3)
  disk.isBroken = true
  const refused = outbox.add(status('nowhere to go'))
  await outbox.flush()
  expect(await refused.stored).toBe(false)
  disk.isBroken = false
  disk.capacityBytes = Infinity
  const records = await everything(outbox)
  expect(records.filter(({ kind }) => kind === 'status').map(({ seq }) => seq)).toEqual([pressed.seq])
  const named = gaps(records).flatMap(([from, to]) => Array.from({ length: to - from + 1 }, (_, index) => from + index))
  expect(named).toEqual(expect.arrayContaining([1, 2, 3, refused.seq]))
})

test('a disk that fails for long owes one gap, not one for each attempt', async () => {
  const outbox = await open()
  await outbox.add(status('before'), { urgent: true }).stored
  disk.isBroken = true
  for (let index = 0; index < 50; index++) {
    outbox.add(status('lost'))
    await outbox.flush()
  }
  disk.isBroken = false
  expect(gaps(await everything(outbox)).length).toBe(1)
})

test('a record that no envelope could carry is refused at once and uses no seq', async () => {
  const outbox = await open()
  expect(() => outbox.add(status(noise(5000)))).toThrow(/a record of/)
  expect(outbox.add(status('small')).seq).toBe(1)
})

test('records wait in memory only up to a bound', async () => {
  const outbox = await open()
  const fill = () => {
    for (let index = 0; index < 100; index++) outbox.add(status(noise(1000, index)))
  }
  expect(fill).toThrow(expect.objectContaining({ code: 'OUTBOX_STUCK' }))
  await outbox.flush()
  expect(outbox.add(status('again')).seq).toBe(outbox.state.nextSeq - 1)
})

test('a record given up by the sender is named with its reason', async () => {
  const outbox = await open()
  outbox.add(status('a'))
  await outbox.flush()
  outbox.abandon((await outbox.lease(1000)) as Lease, 'too-large')
  expect(gaps(await everything(outbox))).toEqual([[1, 1, 'too-large']])
})

test('a file of another epoch is set aside, not sent', async () => {
  const other = new ForgetfulDisk()
  const stranger = await open({ disk: other })
  stranger.add(status('from elsewhere'))
  await stranger.close()
  let outbox = await open()
  for (let index = 0; index < 3; index++) {
    outbox.add(status(`own ${index}`), { urgent: index === 2 })
    await outbox.flush()
  }
  await outbox.close()
  const { epoch } = outbox
  for (const [name, bytes] of other.contents) {
    if (name.endsWith('.log')) await disk.write(name, 0, bytes)
  }
  outbox = await open()
  expect(outbox.epoch).toBe(epoch)
  expect(seqs(await outbox.lease(100_000))).toEqual([3, 1, 2])
})

test('an outbox too small for its files is refused with the size it needs', async () => {
  await expect(open({ maxBytes: fileBytes })).rejects.toMatchObject({ code: 'OUTBOX_TOO_SMALL', exit: 'config' })
})
