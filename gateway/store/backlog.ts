// What waits in the journal and in site.db to go up. Counting a long backlog row by row for every look at the status would
// read gigabytes: history is counted once, and from then on what comes is added and what is formed is taken off.
import type { Database } from '../../lib/sqlite/open.ts'
import { readCursor } from './cursors.ts'

export interface Backlog {
  /** Answers that are not in a segment yet. */
  answers: number
  /** Events of the site itself that are not in a segment yet. */
  events: number
  /** Other records that are not in a segment yet. */
  history: number
  /** Their size, estimated from the newest records. */
  historyBytes: number
  /** When the oldest of all this came. */
  oldestMs: number | undefined
  /** Records that the site state does not show yet, counted up to 10,000. */
  unfolded: number
  /** Formed and without a receipt. */
  segments: number
  segmentBytes: number
}

export class BacklogReader {
  readonly #site: Database.Database
  readonly #sql: ReturnType<typeof prepare>
  /** Records of history after the cursor historyFormed, up to this id. */
  #counted: { upToId: number; count: number } | undefined

  constructor(site: Database.Database, journal: Database.Database) {
    this.#site = site
    this.#sql = prepare(site, journal)
  }

  hasAnswersAfter(id: number): boolean {
    return this.#sql.oldestAnswer.get(id) !== undefined
  }

  hasHistoryAfter(id: number): boolean {
    return this.#sql.oldestHistory.get(id) !== undefined
  }

  /** Whether more JSON than this waits in history. Reads no further than needed. */
  historyExceeds(afterId: number, bytes: number): boolean {
    let sum = 0
    for (const size of this.#sql.historySizes.iterate(afterId) as Iterable<number>) {
      sum += size
      if (sum > bytes) return true
    }
    return false
  }

  /** A segment with so many records of history, up to this id, was formed. */
  formed(upToId: number, count: number): void {
    if (this.#counted === undefined) return
    if (upToId > this.#counted.upToId) this.#counted = { upToId, count: 0 }
    else this.#counted.count -= count
  }

  read(foldedUpTo: number): Backlog {
    const answersFormed = readCursor(this.#site, 'answersFormed')
    const historyFormed = readCursor(this.#site, 'historyFormed')
    const history = this.#countHistory(historyFormed)
    const open = this.#sql.openSegments.get() as { count: number; bytes: number; oldest: number | null }
    const moments = [
      this.#sql.oldestHistory.get(historyFormed) as number | undefined,
      this.#sql.oldestAnswer.get(answersFormed) as number | undefined,
      open.oldest ?? undefined,
    ].filter((ms) => ms !== undefined)
    return {
      answers: this.#sql.countAnswers.get(answersFormed) as number,
      events: this.#sql.countEvents.get() as number,
      history,
      historyBytes: Math.round(history * ((this.#sql.recordBytes.get() as number | null) ?? 0)),
      oldestMs: moments.length === 0 ? undefined : Math.min(...moments),
      unfolded: this.#sql.countUnfolded.get(foldedUpTo) as number,
      segments: open.count,
      segmentBytes: open.bytes,
    }
  }

  #countHistory(historyFormed: number): number {
    const before = this.#counted ?? { upToId: historyFormed, count: 0 }
    const fresh = this.#sql.countHistory.get(before.upToId) as { count: number; last: number | null }
    this.#counted = { upToId: fresh.last ?? before.upToId, count: before.count + fresh.count }
    return this.#counted.count
  }
}

function prepare(site: Database.Database, journal: Database.Database) {
  return {
    openSegments: site.prepare(
      'SELECT count(*) AS count, coalesce(sum(length(file)), 0) AS bytes, min(formed_ms) AS oldest FROM segment WHERE receipt IS NULL',
    ),
    countEvents: site.prepare('SELECT count(*) FROM outbox').pluck(),
    historySizes: journal
      .prepare('SELECT octet_length(body) FROM record WHERE id > ? AND is_answer = 0 ORDER BY id')
      .pluck(),
    countHistory: journal.prepare(
      'SELECT count(*) AS count, max(id) AS last FROM record WHERE id > ? AND is_answer = 0',
    ),
    countUnfolded: journal
      .prepare('SELECT count(*) FROM (SELECT 1 FROM record WHERE id > ? AND is_answer = 0 LIMIT 10000)')
      .pluck(),
    countAnswers: journal.prepare('SELECT count(*) FROM record WHERE is_answer = 1 AND id > ?').pluck(),
    recordBytes: journal
      .prepare('SELECT avg(size) FROM (SELECT octet_length(body) AS size FROM record ORDER BY id DESC LIMIT 200)')
      .pluck(),
    oldestHistory: journal
      .prepare('SELECT received_ms FROM record WHERE id > ? AND is_answer = 0 ORDER BY id LIMIT 1')
      .pluck(),
    oldestAnswer: journal
      .prepare('SELECT received_ms FROM record WHERE id > ? AND is_answer = 1 ORDER BY id LIMIT 1')
      .pluck(),
  }
}
