// Which lane the next segment takes: answers and the life of queries, then, when far behind, the newest state, then
// history. Neither a stream of answers nor tables that change all the time starve history: it gets every fifth segment
// of the one, and the time between two rounds of the other. Comings and goings of devices ride along in any lane.
import type { Lane } from '../../protocol/segments.ts'

export interface LaneInputs {
  /** Answers, or moves of queries. */
  hasAnswers: boolean
  /** Segments of the answers lane that came last, one after the other. */
  answersInARow: number
  /** Other events of the site. */
  hasEvents: boolean
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

const maxAnswersInARow = 4

/** The lane to send now; undefined when there is nothing to send. */
export function chooseLane(inputs: LaneInputs): Lane | undefined {
  if (inputs.hasAnswers && (inputs.answersInARow < maxAnswersInARow || !inputs.hasHistory)) return 'answers'
  const mayStart = inputs.isFarBehind && inputs.sinceStateRoundMs >= inputs.stateRoundEveryMs
  if (inputs.hasNewerTables && (inputs.isInStateRound || mayStart)) return 'state'
  if (inputs.hasHistory) return 'history'
  return inputs.hasEvents ? 'answers' : undefined
}
