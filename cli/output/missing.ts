// Who has not answered and why, as the terminal shows it.
import { printable } from '../../lib/output/printable.ts'
import type { ProgressLine, TargetView } from '../../protocol/api.ts'
import { localTimes } from './times.ts'

/** "press-3 (site plant-b: link down since 10:02)". */
export function describeMissing(target: TargetView, nowMs: number): string {
  const { site, device, state, final, reason } = target
  const why = reason === undefined ? state : final ? `${state}: ${reason}` : reason
  return printable(`${device ?? 'its devices'} (site ${site}: ${localTimes(why, nowMs)})`)
}

/** One line: "12 of 14 answered, missing: press-3 (site plant-b: link down since 10:02)". */
export function statusLine({ counts, missing }: ProgressLine, nowMs: number): string {
  const head = `${counts.answered} of ${counts.targets} answered`
  return missing.length === 0
    ? head
    : `${head}, missing: ${missing.map((one) => describeMissing(one, nowMs)).join(', ')}`
}
