// What the plant allows, by rule: the first rule that matches decides, and without one the answer is yes. Windows are
// the plant's local time. A cancel is never held back: stopping something is always allowed.
import * as z from 'zod'
import { authorities, costClasses, type Command } from '../../protocol/commands.ts'

export const consentActions = ['allow', 'ask', 'veto', 'defer'] as const
export type ConsentAction = (typeof consentActions)[number]

const windowText = /^([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)$/

const Window = z
  .string()
  .regex(windowText, 'must look like "22:00-04:00"')
  .refine((text) => text.slice(0, 5) !== text.slice(6), 'begins and ends at the same minute')

export const ConsentRule = z.strictObject({
  authority: z.enum(authorities).optional(),
  costClass: z.enum(costClasses).optional(),
  kind: z.enum(['query', 'config', 'renew', 'hint']).optional(),
  /** Local time of day, "22:00-04:00"; the end is not part of it. */
  window: Window.optional(),
  action: z.enum(consentActions),
  reason: z.string().max(256).optional(),
})
export type ConsentRule = z.infer<typeof ConsentRule>

export const ConsentRules = z
  .array(ConsentRule)
  .max(100)
  .refine(
    (rules) => rules.every((rule) => rule.action !== 'defer') || rules.some((rule) => rule.window !== undefined),
    'a rule defers, but no rule has a window: what it defers would never be looked at again',
  )

export interface ConsentDecision {
  action: ConsentAction
  reason?: string
  /** Position of the rule in the configuration, from 1; absent when none matched. */
  rule?: number
}

/** What the rules say about a command at a moment. */
export function decideConsent(
  rules: readonly ConsentRule[],
  command: { authority: string; kind: Command['kind']; costClass: string | null },
  nowMs: number,
): ConsentDecision {
  if (command.kind === 'cancel') return { action: 'allow' }
  for (const [index, rule] of rules.entries()) {
    if (rule.authority !== undefined && rule.authority !== command.authority) continue
    if (rule.kind !== undefined && rule.kind !== command.kind) continue
    if (rule.costClass !== undefined && rule.costClass !== command.costClass) continue
    if (rule.window !== undefined && !isInWindow(rule.window, nowMs)) continue
    return { action: rule.action, rule: index + 1, ...(rule.reason === undefined ? {} : { reason: rule.reason }) }
  }
  return { action: 'allow' }
}

/** The next moment at which a window of any rule opens or closes, so that decisions may change; undefined without windows. */
export function nextWindowEdgeMs(rules: readonly ConsentRule[], nowMs: number): number | undefined {
  const edges = rules.flatMap((rule) => {
    if (rule.window === undefined) return []
    return minutesOf(rule.window).flatMap((minutes) => [0, 1].map((day) => atMinute(nowMs, minutes, day)))
  })
  const later = edges.filter((edgeMs) => edgeMs > nowMs)
  return later.length === 0 ? undefined : Math.min(...later)
}

function isInWindow(window: string, nowMs: number): boolean {
  const [from, to] = minutesOf(window)
  const now = new Date(nowMs)
  const minute = now.getHours() * 60 + now.getMinutes()
  return from < to ? minute >= from && minute < to : minute >= from || minute < to
}

function minutesOf(window: string): [from: number, to: number] {
  const [, fromHour, fromMinute, toHour, toMinute] = windowText.exec(window) ?? []
  return [Number(fromHour) * 60 + Number(fromMinute), Number(toHour) * 60 + Number(toMinute)]
}

function atMinute(nowMs: number, minutes: number, dayOffset: number): number {
  const day = new Date(nowMs)
  return new Date(day.getFullYear(), day.getMonth(), day.getDate() + dayOffset, 0, minutes).getTime()
}
