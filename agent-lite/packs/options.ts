// osquery's `options`: those this agent honours. The others are ignored with a warning, so that one file serves both.
import * as z from 'zod'
import { Interval, Percent } from './pack-schema.ts'

export const OsqueryOptions = z.looseObject({
  pack_delimiter: z.string().min(1).max(8).default('_'),
  schedule_splay_percent: Percent.default(10),
  schedule_default_interval: Interval.default(3600),
  pack_refresh_interval: Interval.default(3600),
})
export type OsqueryOptions = z.output<typeof OsqueryOptions>

/** The options in the file that nothing here reads; osquery lets `custom_*` pass for other tools. */
export function ignoredOptions(options: OsqueryOptions): string[] {
  return Object.keys(options).filter((name) => !(name in OsqueryOptions.shape) && !name.startsWith('custom_'))
}
