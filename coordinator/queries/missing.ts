// Why a device has not answered yet, in words: the question that users of other fleet tools could never get answered.
import type { Link, TargetView } from '../../protocol/api.ts'
import { isFinal } from '../../protocol/query-states.ts'
import type { TargetRecord } from '../store/store.ts'

/** A target as people see it. `link` is its site's. */
export function viewTarget(target: TargetRecord, link: Link): TargetView {
  const { site, device, state, reason, times, rows } = target
  const final = isFinal(state)
  const waiting = final ? undefined : whyWaiting(target, link)
  const shown = waiting?.reason ?? reason
  return {
    site,
    ...(device === null ? {} : { device, host: `${device}.${site}` }),
    state,
    final,
    ...(shown === null || shown === undefined ? {} : { reason: shown }),
    ...(waiting === undefined ? {} : { waitingFor: waiting.cause }),
    times,
    ...(rows === null ? {} : { rows }),
  }
}

type Waiting = { cause: NonNullable<TargetView['waitingFor']>; reason: string }

function whyWaiting(target: TargetRecord, link: Link): Waiting {
  const { device, state, times, reason, presence, presenceAtMs } = target
  const since = (name: keyof typeof times) => iso(times[name])
  if (link.state === 'never') return { cause: 'never-connected', reason: 'the site has never connected' }
  if (link.state === 'down') {
    const last = state === 'queued' ? '' : `; last word: ${state} at ${since(state)}`
    return { cause: 'link-down', reason: `link down since ${iso(link.sinceMs)}${last}` }
  }
  if (state === 'queued') return { cause: 'on-its-way', reason: 'on its way to the site' }
  if (device === null) return { cause: 'device-unknown', reason: 'the site has not named its devices yet' }
  if (target.awaitsParts) return { cause: 'answer-incomplete', reason: 'answered; its rows are still on their way' }
  if (state === 'awaiting-consent') {
    return { cause: 'awaiting-consent', reason: `waits for consent at the plant since ${since(state)}${colon(reason)}` }
  }
  if (presence === 'gone') return { cause: 'device-gone', reason: `device gone since ${iso(presenceAtMs)}` }
  if (state === 'running') return { cause: 'running', reason: `running since ${since(state)}` }
  return {
    cause: 'on-its-way',
    reason: `${state === 'dispatched' ? 'sent to the device' : 'at the site'} since ${since(state)}`,
  }
}

const colon = (reason: string | null) => (reason === null ? '' : `: ${reason}`)

/** To the second: "2026-11-24T10:02:00Z". */
function iso(ms: number | null | undefined): string {
  return ms === null || ms === undefined ? 'an unknown time' : `${new Date(ms).toISOString().slice(0, 19)}Z`
}
