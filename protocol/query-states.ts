// Life of a query on one device (docs/protocol.md). Silence is never an answer: every query ends in a final state.

export const queryStates = [
  'queued',
  'at-site',
  'awaiting-consent',
  'dispatched',
  'running',
  'answered',
  'failed',
  'expired',
  'vetoed',
  'unreachable',
] as const
export type QueryState = (typeof queryStates)[number]

const order: Record<QueryState, number> = {
  queued: 0,
  'at-site': 1,
  'awaiting-consent': 2,
  dispatched: 3,
  running: 4,
  answered: 5,
  failed: 5,
  expired: 5,
  vetoed: 5,
  unreachable: 5,
}

export function isFinal(state: QueryState): boolean {
  return order[state] === 5
}

/**
 * Whether a report of `to` moves a device on from `from`. States only advance, so reports may come twice or out of
 * order. An answer that was given in time but arrives late replaces `expired` and `unreachable`: it is the truth.
 */
export function advances(from: QueryState, to: QueryState): boolean {
  if (isFinal(from)) return (from === 'expired' || from === 'unreachable') && (to === 'answered' || to === 'failed')
  return order[to] > order[from]
}
