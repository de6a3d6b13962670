// What is on record: who did what (audit), and what of every device's records is here, lost or missing (ledger).
import type { FastifyInstance } from 'fastify'
import { AuditList, AuditQuery, LedgerPage, LedgerQuery } from '../../protocol/api.ts'
import { readNumberCursor } from '../api/cursor.ts'
import { addRoute } from '../api/route.ts'
import type { RouteContext } from '../api/server.ts'
import { accountFor, addUp } from '../ledger.ts'
import type { EpochRecord, Store } from '../store/store.ts'

const epochsPerRead = 500

export function addRecordRoutes(app: FastifyInstance, { store }: RouteContext): void {
  addRoute(
    app,
    {
      method: 'GET',
      url: '/audit',
      tag: 'Records',
      summary: 'The audit log, oldest first',
      query: AuditQuery,
      answer: AuditList,
    },
    async ({ query: { cursor, limit } }) => {
      const entries = await store.auditAfter(readNumberCursor(cursor) ?? 0, limit)
      const last = entries.at(-1)
      return { entries, ...(entries.length === limit && last !== undefined ? { nextCursor: String(last.n) } : {}) }
    },
  )

  addRoute(
    app,
    {
      method: 'GET',
      url: '/ledger',
      tag: 'Records',
      summary: 'Every record is here, named in a gap, or listed as missing',
      query: LedgerQuery,
      answer: LedgerPage,
    },
    async ({ query: { site, device, cursor, limit } }) => {
      const filter = { site, device }
      const totals = { sent: 0, atCentre: 0, lost: 0, missing: 0 }
      for await (const epoch of allEpochs(store, filter)) addUp(totals, accountFor(epoch))
      const epochs = await store.epochs({ ...filter, afterId: readNumberCursor(cursor), limit: limit + 1 })
      const page = epochs.slice(0, limit)
      const last = page.at(-1)
      return {
        totals,
        epochs: page.map(accountFor),
        ...(epochs.length > limit && last !== undefined ? { nextCursor: String(last.id) } : {}),
      }
    },
  )
}

async function* allEpochs(
  store: Store,
  filter: { site?: string | undefined; device?: string | undefined },
): AsyncGenerator<EpochRecord> {
  let afterId = 0
  for (;;) {
    const epochs = await store.epochs({ ...filter, afterId, limit: epochsPerRead })
    yield* epochs
    const last = epochs.at(-1)
    if (last === undefined || epochs.length < epochsPerRead) return
    afterId = last.id
  }
}
