// What a start finds in the outbox's folder, after a clean stop, a kill, a power cut or a flipped bit: which records are
// there, which are lost, and which sequence number comes next.
import { randomBytes } from 'node:crypto'
import type { Logger } from '../../lib/log.ts'
import { Epoch } from '../../protocol/ids.ts'
import type { GapRecord } from '../../protocol/records.ts'
import { SeqRanges, type SeqRange } from '../../protocol/seq-ranges.ts'
import { loadAccounted, type Accounted } from './accounted.ts'
import type { Disk } from './disk.ts'
import { decodeFrame, frameMinBytes, isWhole, scanFile, type Frame, type Scan, type Span } from './frame.ts'
import { LogFile, parseFileName, priorities, type Priority } from './log-file.ts'

export interface Recovered {
  epoch: Epoch
  nextSeq: number
  files: LogFile[]
  /** Seqs that the gateway has, or knows to be lost, as far as that was remembered. */
  accounted: SeqRanges
  /** Seqs that were given out and cannot be read any more. They are to be named in a gap before the repairs are made. */
  lost: SeqRange[]
  /** Gap records that are still here: what they name must not be forgotten with them. */
  gaps: Map<number, Pick<GapRecord, 'from' | 'to' | 'reason'>>
  /** Some file needs repair. */
  isDamaged: boolean
  /** Sets damaged files aside and puts their readable records in their place. */
  repair(isKept: (file: LogFile) => boolean): Promise<void>
}

/** How many damaged files are kept for people to look at. */
const damagedFilesMax = 16
const repairedSuffix = '.repaired'

export async function recover(disk: Disk, log: Logger): Promise<Recovered> {
  const names = await finishRepairs(disk, log)
  const sizes = new Map((await disk.list()).map(({ name, byteCount }) => [name, byteCount]))
  const parsed = names.flatMap((name) => {
    const about = parseFileName(name)
    return about === undefined ? [] : [{ name, ...about }]
  })
  const epoch = ownEpoch(parsed) ?? randomBytes(12).toString('base64url')
  for (const stranger of parsed.filter((file) => file.epoch !== epoch)) {
    await setAside(disk, stranger.name, log, 'it belongs to another epoch')
  }
  const accounted = await loadAccounted(disk, epoch)
  const files: LogFile[] = []
  const gaps: Recovered['gaps'] = new Map()
  const scans: { file: LogFile; givenOut: number; scan: Scan; bytes: Buffer }[] = []
  const seen = new SeqRanges()
  for (const { name, givenOut, priority } of parsed.filter((file) => file.epoch === epoch)) {
    const bytes = await disk.read(name).catch(() => undefined)
    const scan = bytes === undefined ? unreadable(sizes.get(name) ?? 0) : scanFile(bytes)
    const file = new LogFile(name, priority)
    let offset = 0
    for (const frame of scan.frames) {
      // Where the frame will lie once damage before it has been cut out.
      file.add({ ...frame, offset })
      offset += frame.byteCount
      if (frame.isGap && bytes !== undefined) noteGap(gaps, frame, bytes)
    }
    // A write that failed and was repeated elsewhere can have left the same record twice; one envelope may not have both.
    file.acknowledgeWhere((seq) => accounted.seqs.has(seq) || seen.has(seq))
    for (const { seq } of scan.frames) seen.add(seq)
    files.push(file)
    scans.push({ file, givenOut, scan, bytes: isWhole(scan) || bytes === undefined ? Buffer.alloc(0) : bytes })
  }
  const { lost, nextSeq } = findLost(scans, accounted)
  return {
    epoch: Epoch.parse(epoch),
    nextSeq,
    files,
    accounted: accounted.seqs,
    lost,
    gaps,
    isDamaged: scans.some(({ scan }) => !isWhole(scan)),
    repair: (isKept) =>
      repair(
        disk,
        scans.filter(({ file }) => isKept(file)),
        log,
      ),
  }
}

/** Files of another epoch can only have been put here by hand: the epoch with the most files is the device's own. */
function ownEpoch(files: readonly { epoch: string }[]): string | undefined {
  const counts = new Map<string, number>()
  for (const { epoch } of files) counts.set(epoch, (counts.get(epoch) ?? 0) + 1)
  return [...counts].sort(([, a], [, b]) => b - a)[0]?.[0]
}

/** A file that the disk does not give back at all. */
function unreadable(byteCount: number): Scan {
  return { frames: [], damaged: [], unknown: [{ maxFrames: Math.ceil(byteCount / frameMinBytes), isLast: true }] }
}

function noteGap(gaps: Recovered['gaps'], frame: Frame, file: Buffer): void {
  const json = decodeFrame(file.subarray(frame.offset, frame.offset + frame.byteCount), frame.seq)
  if (json === undefined) return
  const { from, to, reason } = JSON.parse(json) as GapRecord
  gaps.set(frame.seq, { from, to, reason })
}

/**
 * Every seq that was given out but is in no readable frame, and the one that comes next. Where heads are damaged
 * too it errs on the side of naming more: a seq that is named lost but was delivered counts as delivered.
 */
function findLost(
  scans: readonly { file: LogFile; givenOut: number; scan: Scan }[],
  accounted: Accounted,
): { lost: SeqRange[]; nextSeq: number } {
  const known = new SeqRanges(accounted.seqs.toJSON())
  let newest: Span = { from: 1, to: 0 }
  for (const { scan } of scans) {
    for (const { seq } of scan.frames) known.add(seq)
    for (const { span } of [...scan.frames, ...scan.damaged]) if (isLater(span, newest)) newest = span
  }
  const written = Math.max(newest.to, accounted.nextSeq - 1, ...scans.map(({ givenOut }) => givenOut))
  // Frames with unreadable heads at the end of both newest files may each have been the last ones.
  const highest = written + sum(priorities.map((priority) => framesCutOff(scans, priority)))
  const lost = new SeqRanges()
  const addMissing = (from: number, to: number): void => {
    for (const range of known.missing(from, to)) lost.addRange(...range)
  }
  for (const { file, scan } of scans) {
    // A lost gap was perhaps the only word of records that are long gone.
    for (const { seq, isGap } of scan.damaged) addMissing(isGap ? 1 : seq, isGap ? highest : seq)
    if (scan.unknown.some(({ maxFrames }) => maxFrames > 0)) {
      addMissing(file.priority === 'high' ? 1 : lowestOf(file, scans), highest)
    }
  }
  // What was under way at the last write may never have been written: its span tells. Beyond it, files can have been
  // begun, and gaps been due, for records that never were.
  addMissing(newest.from, highest)
  return { lost: lost.toJSON(), nextSeq: highest + 1 }
}

/** How many frames may have lain in the unreadable end of the newest file of a priority. */
function framesCutOff(scans: readonly { file: LogFile; scan: Scan }[], priority: Priority): number {
  const newest = scans.filter(({ file }) => file.priority === priority).at(-1)
  return sum(newest?.scan.unknown.filter(({ isLast }) => isLast).map(({ maxFrames }) => maxFrames) ?? [])
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}

/** Records of low priority are written in order: a file has none as low as those of the file before. */
function lowestOf(file: LogFile, scans: readonly { file: LogFile; scan: Scan }[]): number {
  let lowest = 1
  for (const each of scans) {
    if (each.file === file) break
    if (each.file.priority === 'low') lowest = Math.max(lowest, ...each.scan.frames.map(({ seq }) => seq + 1))
  }
  return lowest
}

function isLater(a: Span, b: Span): boolean {
  return a.to > b.to || (a.to === b.to && a.from > b.from)
}

async function repair(
  disk: Disk,
  scans: readonly { file: LogFile; scan: Scan; bytes: Buffer }[],
  log: Logger,
): Promise<void> {
  for (const { file, scan, bytes } of scans) {
    if (isWhole(scan)) continue
    const onlyCutOff = scan.damaged.length === 0 && scan.unknown.every((each) => each.maxFrames === 0 && each.isLast)
    if (onlyCutOff) {
      log.info({ file: file.name, bytes: bytes.byteLength - file.byteCount }, 'cut off an unfinished write')
      await disk.truncate(file.name, file.byteCount)
      continue
    }
    const whole = Buffer.concat(scan.frames.map(({ offset, byteCount }) => bytes.subarray(offset, offset + byteCount)))
    const repaired = `${file.name}${repairedSuffix}`
    await disk.write(repaired, 0, whole)
    await disk.truncate(repaired, whole.byteLength)
    await disk.sync(repaired)
    await disk.syncFolder()
    await setAside(disk, file.name, log, `${scan.damaged.length + scan.unknown.length} places in it are damaged`)
    await disk.rename(repaired, file.name)
    await disk.syncFolder()
  }
}

/** Ends repairs that were interrupted: a repaired copy counts only where the damaged file is already out of the way. */
async function finishRepairs(disk: Disk, log: Logger): Promise<string[]> {
  const names = new Set((await disk.list()).map(({ name }) => name))
  for (const name of [...names].filter((each) => each.endsWith(repairedSuffix))) {
    const original = name.slice(0, -repairedSuffix.length)
    names.delete(name)
    if (names.has(original)) await disk.remove(name)
    else {
      log.info({ file: original }, 'finished an interrupted repair')
      await disk.rename(name, original)
      names.add(original)
    }
  }
  return [...names].sort()
}

async function setAside(disk: Disk, name: string, log: Logger, why: string): Promise<void> {
  const kept = (await disk.list('damaged')).map((file) => file.name).sort()
  for (const oldest of kept.slice(0, Math.max(0, kept.length - damagedFilesMax + 1))) {
    log.warn({ file: oldest }, `removed the oldest of ${damagedFilesMax} damaged files to make room for another`)
    await disk.remove(`damaged/${oldest}`)
  }
  let target = name
  for (let copy = 1; kept.includes(target); copy++) target = `${name}.${copy}`
  log.error({ file: name, keptAs: `damaged/${target}` }, `set an outbox file aside: ${why}`)
  await disk.rename(name, `damaged/${target}`)
}
