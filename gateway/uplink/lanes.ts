// Which lane the next segment takes: answers and the life of queries, then, when far behind, the newest state, then
// history. State goes up in rounds with history between them: tables that change all the time must not starve it.
import type { Lane } from '../../protocol/segments.ts'

export interface LaneInputs {
  hasAnswers: boolean
  hasHistory: boolean
  /** The history that waits is more than the state lane's threshold. */
  isFarBehind: boolean
  /** Tables changed that neither a state segment nor a formed history segment covers. */
  hasNewerTables: boolean
  /** A round of state segments has begun and has not reached the tables it began for. */
  isInStateRound: boolean
  /** Since the last round ended; Infinity when there was none. */
  sinceStateRoundMs: number
  stateRoundEveryMs: number
}

/** The lane to send now; undefined when there is nothing to send. */
export function chooseLane(inputs: LaneInputs): Lane | undefined {
  if (inputs.hasAnswers) return 'answers'
  const mayStart = inputs.isFarBehind && inputs.sinceStateRoundMs >= inputs.stateRoundEveryMs
  if (inputs.hasNewerTables && (inputs.isInStateRound || mayStart)) return 'state'
  return inputs.hasHistory ? 'history' : undefined
}
