// The answers of a query as they arrive, with progress in between, until every target is final. Resumable: `after` is
// the cursor of the last part that was read.
import type { ProgressLine, ResultLine, StreamLine } from '../../protocol/api.ts'
import type { QueryId } from '../../protocol/ids.ts'
import { toRows } from '../../protocol/columnar.ts'
import { queryTopic, type Notifier } from '../notifier.ts'
import type { SiteLinks } from '../sites/links.ts'
import type { AnswerPart, QueryRecord, Store } from '../store/store.ts'
import { viewTarget } from './missing.ts'

/** Links change without a notification; this is how long that may go unnoticed. */
const refreshMs = 5_000
/** Progress is told at most this often: with thousands of targets it would outweigh the answers. */
const progressEveryMs = 1_000
const keepAliveMs = 15_000
const maxMissing = 100
const maxMissingAtEnd = 1_000

export interface StreamOptions {
  store: Store
  notifier: Notifier
  links: SiteLinks
  signal: AbortSignal
  now: () => number
}

/** Lines to send; `undefined` now and then when there is nothing to say, so that the connection is seen to live. */
export async function* streamResults(
  id: QueryId,
  after: number,
  follow: boolean,
  { store, notifier, links, signal, now }: StreamOptions,
): AsyncGenerator<StreamLine | undefined> {
  const listener = notifier.listen(queryTopic(id))
  let cursor = after
  let lastProgress = ''
  let progressAtMs = 0
  let spokeAtMs = now()
  try {
    while (!signal.aborted) {
      // State before answers: what is final now has all its rows in the answers read next.
      const query = await store.query(id)
      if (query === undefined) return
      // One part at a time: a part may be megabytes, and the reader may be slow.
      for (let part = await nextPart(); part !== undefined; part = await nextPart()) {
        cursor = part.cursor
        yield resultLine(part)
        spokeAtMs = now()
        if (signal.aborted) return
      }
      if (!follow || query.isDone) {
        yield await progress(query, 'end', maxMissingAtEnd)
        return
      }
      const waitMs = progressAtMs + progressEveryMs - now()
      if (waitMs <= 0) {
        const line = await progress(query, 'progress', maxMissing)
        const text = JSON.stringify(line)
        progressAtMs = now()
        if (text !== lastProgress || now() - spokeAtMs >= keepAliveMs) {
          yield text === lastProgress ? undefined : line
          lastProgress = text
          spokeAtMs = now()
        }
        await listener.wait(refreshMs, signal)
      } else {
        await listener.wait(waitMs, signal)
      }
    }
  } finally {
    listener.close()
  }

  async function nextPart(): Promise<AnswerPart | undefined> {
    return (await store.answersAfter(id, cursor, 1))[0]
  }

  async function progress(query: QueryRecord, type: ProgressLine['type'], max: number): Promise<ProgressLine> {
    const linkOf = await links.all(store)
    const missing = (await store.queryTargets(id)).filter(({ state }) => state !== 'answered')
    return {
      type,
      status: query.isDone ? 'done' : 'open',
      counts: query.counts,
      missing: missing.slice(0, max).map((target) => viewTarget(target, linkOf(target.site))),
      ...(missing.length > max ? { missingMore: missing.length - max } : {}),
    }
  }
}

function resultLine(answer: AnswerPart): ResultLine {
  const { cursor, site, device, status, message, columns, rows, part, parts, truncated, warnings } = answer
  return {
    type: 'answer',
    cursor: String(cursor),
    host: `${device}.${site}`,
    site,
    device,
    status,
    ...(message === null ? {} : { message }),
    columns,
    rows: toRows(rows),
    part,
    parts,
    ...(truncated === null ? {} : { truncated }),
    ...(warnings === null ? {} : { warnings }),
    observedAtMs: answer.observedAtMs,
    receivedAtMs: answer.receivedAtMs,
  }
}
