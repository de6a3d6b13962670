// Forms segments and keeps them until the centre's receipt.
// Invariants: one transaction stores the file, moves the cursors past what is in it and takes its events out of the
// outbox; a formed file never changes, so after a crash the identical bytes are sent; reading, compression and signing
// happen before that transaction; cursors of receipts move only with a verified receipt.
import { AppError } from '../../lib/errors.ts'
import type { Database } from '../../lib/sqlite/open.ts'
import type { Epoch, SiteId } from '../../protocol/ids.ts'
import type { Signer } from '../../protocol/jws.ts'
import { limits } from '../../protocol/limits.ts'
import { Refusal } from '../../protocol/refusal.ts'
import type { Receipt } from '../../protocol/receipts.ts'
import { encodeSegment, type Lane, type SegmentInput } from '../../protocol/segments.ts'
import { SeqRanges } from '../../protocol/seq-ranges.ts'
import type { JournalReader, StoredRecord } from '../journal/read.ts'
import { newestTables } from '../state/read.ts'
import { chooseLane } from '../uplink/lanes.ts'
import type { BacklogReader } from './backlog.ts'
import { readCursor, writeCursor } from './cursors.ts'
import { changedLedgerLines, markLedgerTold, type LedgerLine } from './ledger.ts'
import { outboxHas, readOutbox, removeFromOutbox } from './outbox.ts'

export interface SegmentSources {
  site: Database.Database
  journal: JournalReader
  backlog: BacklogReader
  state: Database.Database
}

export interface SegmentsOptions {
  site: SiteId
  signer: Signer
  /** The state lane opens when more JSON than this waits in history. */
  stateLaneAboveBytes: number
  stateRoundEveryMs: number
  /** Segments with a receipt are kept up to this many bytes, in case the centre goes back to a backup. */
  keepReceiptedBytes: number
}

export interface FormedSegment {
  n: number
  lane: Lane
  sha256: string
  file: Uint8Array
  formedMs: number
}

interface Content {
  lane: Lane
  lines: string[]
  records: SegmentInput['records']
  cursors: { answers: number; history: number; state: number }
  seqs: Map<string, SeqRanges>
  outboxUpTo: number | undefined
  ledger: LedgerLine[]
}

/** JSON in one segment: bounds what forming it costs in memory. One record may be larger, and still fits. */
const maxBodyBytes = 16 * 1_048_576
/** Incompressible, such a table still fits into a segment file; a larger one goes up as history only. */
const maxTableBytes = limits.segmentBytes - 65_536
/** Half of what a segment may hold: events and the ledger need room too. */
const maxRecords = limits.itemsPerSegment / 2
/** Of events, in bytes: none is shorter than 80, so that they are fewer than what is left of a segment's items. */
const maxEventBytes = 1_048_576
const tablesPerRead = 20

export class Segments {
  readonly #site: Database.Database
  readonly #journal: JournalReader
  readonly #state: Database.Database
  readonly #options: SegmentsOptions
  readonly #sql: ReturnType<typeof prepareSite>
  readonly #backlog: BacklogReader
  readonly chain: Epoch
  /** Compressed bytes per byte of JSON lines, learnt from the segments made. */
  #ratio = 0.2
  #answersInARow = 0
  #stateRoundUpTo = 0
  #stateRoundEndedMs = -Infinity

  constructor({ site, journal, backlog, state }: SegmentSources, chain: Epoch, options: SegmentsOptions) {
    this.#site = site
    this.#journal = journal
    this.#state = state
    this.#options = options
    this.chain = chain
    this.#sql = prepareSite(site)
    this.#backlog = backlog
  }

  /** The oldest segment without a receipt, or from `fromN` on when the centre asks for older ones again. */
  pending(fromN?: number): FormedSegment | undefined {
    const row = (fromN === undefined ? this.#sql.oldestOpen.get() : this.#sql.from.get(fromN)) as
      { n: number; lane: Lane; sha256: string; file: Buffer; formed_ms: number } | undefined
    return row === undefined
      ? undefined
      : { n: row.n, lane: row.lane, sha256: row.sha256, file: row.file, formedMs: row.formed_ms }
  }

  /** Forms the next segment from what waits; undefined when nothing does. `targetBytes` is the size of the file. */
  async formNext(targetBytes: number, nowMs: number): Promise<FormedSegment | undefined> {
    for (;;) {
      const content = this.#collect(targetBytes / this.#ratio, nowMs)
      if (content === undefined) return undefined
      const last = this.#sql.last.get() as { n: number; sha256: string } | undefined
      const n = (last?.n ?? 0) + 1
      const input: SegmentInput = {
        site: this.#options.site,
        chain: this.chain,
        n,
        lane: content.lane,
        prev: last?.sha256 ?? null,
        createdMs: nowMs,
        codec: 'br',
        records: content.records,
        lines: content.lines,
      }
      const encoded = await this.#encode(input, targetBytes)
      if (encoded === 'too-large') continue
      this.#store(n, encoded.sha256, encoded.file, content, nowMs)
      return { n, lane: content.lane, ...encoded, formedMs: nowMs }
    }
  }

  /** Signs a segment and learns from its size. `too-large` when the guess at compression was far off: collect less. */
  async #encode(input: SegmentInput, targetBytes: number): Promise<{ file: Buffer; sha256: string } | 'too-large'> {
    const rawBytes = input.lines.reduce((sum, line) => sum + line.length + 1, 0)
    try {
      const encoded = await encodeSegment(input, this.#options.signer)
      const { byteLength } = encoded.file
      const before = this.#ratio
      if (rawBytes > 10_000) this.#ratio = Math.min(1, Math.max(0.01, byteLength / rawBytes))
      return byteLength > targetBytes * 4 && input.lines.length > 1 && this.#ratio > before ? 'too-large' : encoded
    } catch (error) {
      if (!(error instanceof Refusal) || this.#ratio === 1) throw error
      this.#ratio = 1
      return 'too-large'
    }
  }

  /**
   * Takes a receipt whose signature was verified. Throws AppError RECEIPT_WRONG when it does not fit what was sent.
   */
  commitReceipt(receipt: Receipt, jws: string): void {
    if (receipt.chain !== this.chain) {
      throw new AppError('RECEIPT_WRONG', `a receipt for chain ${receipt.chain}, this gateway's is ${this.chain}`)
    }
    const segment = this.#sql.byN.get(receipt.upTo) as
      { n: number; sha256: string; answers_formed: number; history_formed: number } | undefined
    if (segment === undefined || segment.sha256 !== receipt.sha256) {
      throw new AppError(
        'RECEIPT_WRONG',
        `a receipt for segment ${receipt.upTo} with hash ${receipt.sha256.slice(0, 12)}…, but that segment ${segment === undefined ? 'is not here' : 'is another'}`,
      )
    }
    this.#site.transaction(() => {
      for (const open of this.#sql.openUpTo.all(receipt.upTo) as { n: number; seqs: string }[]) this.#forward(open.seqs)
      this.#sql.setReceipt.run(jws, receipt.upTo)
      const before = this.receiptedUpTo()
      writeCursor(this.#site, 'answersReceipted', Math.max(segment.answers_formed, before.answers))
      writeCursor(this.#site, 'historyReceipted', Math.max(segment.history_formed, before.history))
      this.#dropOld()
    })()
  }

  /** Up to which journal id the centre has everything. */
  receiptedUpTo(): { answers: number; history: number } {
    return {
      answers: readCursor(this.#site, 'answersReceipted'),
      history: readCursor(this.#site, 'historyReceipted'),
    }
  }

  /** A journal that was made anew counts from 1 again: positions in the old one would skip its records. */
  restartWhenJournalIsNew(): void {
    const newestId = this.#journal.newestId()
    const names = [
      'answersSeen',
      'answersFormed',
      'historyFormed',
      'answersReceipted',
      'historyReceipted',
      'stateFormed',
    ] as const
    if (names.every((name) => readCursor(this.#site, name) <= newestId)) return
    this.#site.transaction(() => {
      for (const name of names) writeCursor(this.#site, name, 0)
      // Receipts of old segments must not move the new positions.
      this.#site.exec('UPDATE segment SET answers_formed = 0, history_formed = 0; UPDATE outbox SET after_answer = 0')
    })()
  }

  #collect(rawBytes: number, nowMs: number): Content | undefined {
    const historyFormed = readCursor(this.#site, 'historyFormed')
    const answersSeen = readCursor(this.#site, 'answersSeen')
    const answersFormed = readCursor(this.#site, 'answersFormed')
    const stateFormed = Math.max(readCursor(this.#site, 'stateFormed'), historyFormed)
    const newest = newestTables(this.#state, stateFormed, 1)[0]
    const outbox = outboxHas(this.#site)
    const lane = chooseLane({
      hasAnswers: outbox.queryEvents || (answersFormed < answersSeen && this.#backlog.hasAnswersAfter(answersFormed)),
      answersInARow: this.#answersInARow,
      hasEvents: outbox.events,
      hasHistory: this.#backlog.hasHistoryAfter(historyFormed),
      isFarBehind: this.#backlog.historyExceeds(historyFormed, this.#options.stateLaneAboveBytes),
      hasNewerTables: newest !== undefined,
      isInStateRound: stateFormed < this.#stateRoundUpTo,
      sinceStateRoundMs: nowMs - this.#stateRoundEndedMs,
      stateRoundEveryMs: this.#options.stateRoundEveryMs,
    })
    if (lane === undefined) return undefined
    const maxBytes = Math.min(rawBytes, maxBodyBytes)
    const content: Content = {
      lane,
      lines: [],
      records: null,
      cursors: { answers: answersFormed, history: historyFormed, state: stateFormed },
      seqs: new Map(),
      outboxUpTo: undefined,
      ledger: [],
    }
    switch (lane) {
      case 'answers':
        // An answer that has not moved its query on waits for that: the centre learns of both together.
        this.#takeRecords(content, 'answers', maxBytes, answersSeen)
        break
      case 'state':
        this.#takeTables(content, maxBytes, nowMs)
        break
      case 'history':
        if (this.#takeRecords(content, 'history', maxBytes)) this.#addLedger(content)
        break
    }
    const events = readOutbox(this.#site, content.cursors.answers, Math.min(maxBytes, maxEventBytes))
    content.lines.push(...events.map((event) => event.line))
    content.outboxUpTo = events.at(-1)?.id
    return content.lines.length === 0 ? undefined : content
  }

  /** What changed in the ledger, once history has caught up with it. */
  #addLedger(content: Content): void {
    content.ledger = changedLedgerLines(this.#site, this.#journal.ledger(), 1000)
    content.lines.push(...content.ledger.map((entry) => entry.line))
  }

  #takeTables(content: Content, maxBytes: number, nowMs: number): void {
    const { cursors, lines } = content
    if (cursors.state >= this.#stateRoundUpTo) this.#stateRoundUpTo = newestChange(this.#state)
    let bytes = 0
    reading: for (;;) {
      const tables = newestTables(this.#state, cursors.state, tablesPerRead)
      for (const { journalId, item } of tables) {
        const line = JSON.stringify(item)
        if (bytes > 0 && bytes + line.length > maxBytes) break reading
        if (line.length <= maxTableBytes) {
          lines.push(line)
          bytes += line.length
        }
        cursors.state = journalId
        if (journalId >= this.#stateRoundUpTo) break reading
      }
      if (tables.length < tablesPerRead) break
    }
    if (cursors.state >= this.#stateRoundUpTo) this.#stateRoundEndedMs = nowMs
  }

  /** Adds record lines until there are enough, at least one. Returns whether all that wait were taken. */
  #takeRecords(content: Content, only: 'answers' | 'history', maxBytes: number, upToId = Infinity): boolean {
    const records = this.#journal
      .after(content.cursors[only], { only, limit: maxRecords, maxBytes })
      .filter((record) => record.id <= upToId)
    const [first, last] = [records[0], records.at(-1)]
    if (first === undefined || last === undefined) return true
    content.cursors[only] = last.id
    content.records = { from: first.id, to: last.id, count: records.length }
    let bytes = 0
    for (const record of records) {
      content.lines.push(recordLine(record))
      bytes += record.body.length
      if (record.epoch === null || record.seq === null) continue
      const key = `${record.device}\n${record.epoch}`
      const ranges = content.seqs.get(key) ?? new SeqRanges()
      ranges.add(record.seq)
      content.seqs.set(key, ranges)
    }
    return records.length < maxRecords && bytes < maxBytes
  }

  #store(n: number, sha256: string, file: Buffer, content: Content, nowMs: number): void {
    this.#site.transaction(() => {
      this.#sql.insert.run({
        n,
        lane: content.lane,
        file,
        sha256,
        items: content.lines.length,
        nowMs,
        answersFormed: content.cursors.answers,
        historyFormed: content.cursors.history,
        seqs: JSON.stringify([...content.seqs].map(([key, ranges]) => [...key.split('\n'), ranges.toJSON()])),
      })
      writeCursor(this.#site, 'answersFormed', content.cursors.answers)
      writeCursor(this.#site, 'historyFormed', content.cursors.history)
      writeCursor(this.#site, 'stateFormed', content.cursors.state)
      if (content.outboxUpTo !== undefined) {
        removeFromOutbox(this.#site, content.cursors.answers, content.outboxUpTo)
      }
      markLedgerTold(this.#site, content.ledger)
    })()
    if (content.lane === 'history' && content.records) this.#backlog.formed(content.records.to, content.records.count)
    this.#answersInARow = content.lane === 'answers' ? this.#answersInARow + 1 : 0
  }

  #forward(seqsJson: string): void {
    for (const [device, epoch, ranges] of JSON.parse(seqsJson) as [string, string, [number, number][]][]) {
      const row = this.#sql.getForwarded.get(device, epoch) as { ranges: string } | undefined
      const all = new SeqRanges(row === undefined ? [] : (JSON.parse(row.ranges) as [number, number][]))
      for (const [from, to] of ranges) all.addRange(from, to)
      this.#sql.setForwarded.run(device, epoch, JSON.stringify(all.toJSON()))
    }
  }

  /** The newest segment stays in any case: its hash is the next one's `prev`. */
  #dropOld(): void {
    const rows = this.#sql.receipted.all() as { n: number; bytes: number }[]
    let kept = 0
    for (const { n, bytes } of rows.slice(1)) {
      kept += bytes
      if (kept > this.#options.keepReceiptedBytes) this.#sql.drop.run(n)
    }
  }
}

/** A record's segment line. The body is the journal's own JSON, written in one line by the journal worker. */
function recordLine(row: StoredRecord): string {
  const head = {
    t: 'record',
    device: row.device,
    ...(row.epoch === null ? {} : { epoch: row.epoch }),
    receivedAtMs: row.receivedAtMs,
    observedAtMs: row.observedAtMs,
    ...(row.clock === null ? {} : { clock: row.clock }),
  }
  return `${JSON.stringify(head).slice(0, -1)},"record":${row.body}}`
}

function newestChange(state: Database.Database): number {
  return (state.prepare('SELECT max(journal_id) AS id FROM latest').get() as { id: number | null }).id ?? 0
}

function prepareSite(database: Database.Database) {
  return {
    last: database.prepare('SELECT n, sha256 FROM segment ORDER BY n DESC LIMIT 1'),
    byN: database.prepare('SELECT n, sha256, answers_formed, history_formed FROM segment WHERE n = ?'),
    oldestOpen: database.prepare(
      'SELECT n, lane, sha256, file, formed_ms FROM segment WHERE receipt IS NULL ORDER BY n LIMIT 1',
    ),
    from: database.prepare('SELECT n, lane, sha256, file, formed_ms FROM segment WHERE n = ?'),
    openUpTo: database.prepare('SELECT n, seqs FROM segment WHERE receipt IS NULL AND n <= ?'),
    insert: database.prepare(`
      INSERT INTO segment (n, lane, file, sha256, items, formed_ms, answers_formed, history_formed, seqs)
      VALUES (@n, @lane, @file, @sha256, @items, @nowMs, @answersFormed, @historyFormed, @seqs)`),
    setReceipt: database.prepare('UPDATE segment SET receipt = ? WHERE receipt IS NULL AND n <= ?'),
    receipted: database.prepare(
      'SELECT n, length(file) AS bytes FROM segment WHERE receipt IS NOT NULL ORDER BY n DESC',
    ),
    drop: database.prepare('DELETE FROM segment WHERE n = ?'),
    getForwarded: database.prepare('SELECT ranges FROM forwarded WHERE device = ? AND epoch = ?'),
    setForwarded: database.prepare(
      'INSERT INTO forwarded (device, epoch, ranges) VALUES (?, ?, ?) ON CONFLICT (device, epoch) DO UPDATE SET ranges = excluded.ranges',
    ),
  }
}
