import { expect, test } from 'vitest'
import { ConsentRules, decideConsent, nextWindowEdgeMs, type ConsentRule } from './consent.ts'

const query = (costClass: string, authority = 'centre') => ({ authority, kind: 'query' as const, costClass })
const at = (hour: number, minute = 0) => new Date(2026, 10, 24, hour, minute).getTime()

test('without rules everything is allowed', () => {
  expect(decideConsent([], query('heavy'), at(12))).toEqual({ action: 'allow' })
})

test('the first rule that matches decides and is named', () => {
  const rules: ConsentRule[] = [
    { costClass: 'heavy', window: '22:00-04:00', action: 'allow' },
    { costClass: 'heavy', action: 'defer', reason: 'heavy queries run at night' },
    { authority: 'centre', action: 'ask' },
  ]
  expect(decideConsent(rules, query('heavy'), at(23)).action).toBe('allow')
  expect(decideConsent(rules, query('heavy'), at(3, 59)).action).toBe('allow')
  expect(decideConsent(rules, query('heavy'), at(4))).toEqual({
    action: 'defer',
    rule: 2,
    reason: 'heavy queries run at night',
  })
  expect(decideConsent(rules, query('light'), at(4))).toEqual({ action: 'ask', rule: 3 })
  expect(decideConsent(rules, query('light', 'plant'), at(4))).toEqual({ action: 'allow' })
})

test('a window within one day ends with its last minute', () => {
  const rules: ConsentRule[] = [{ window: '08:00-17:30', action: 'veto' }]
  const actions = [at(7, 59), at(8), at(17, 29), at(17, 30)].map(
    (ms) => decideConsent(rules, query('light'), ms).action,
  )
  expect(actions).toEqual(['allow', 'veto', 'veto', 'allow'])
})

test('a cancel is never held back', () => {
  const command = { authority: 'centre', kind: 'cancel' as const, costClass: null }
  expect(decideConsent([{ action: 'veto' }], command, at(1))).toEqual({ action: 'allow' })
})

test('the next edge is the nearest opening or closing of any window, tomorrow at the latest', () => {
  const rules: ConsentRule[] = [
    { window: '22:00-04:00', action: 'allow' },
    { window: '12:00-13:00', action: 'ask' },
    { action: 'defer' },
  ]
  expect(nextWindowEdgeMs(rules, at(3))).toBe(at(4))
  expect(nextWindowEdgeMs(rules, at(4))).toBe(at(12))
  expect(nextWindowEdgeMs(rules, at(23))).toBe(new Date(2026, 10, 25, 4).getTime())
  expect(nextWindowEdgeMs([{ action: 'ask' }], at(3))).toBeUndefined()
})

test('what would never be decided again, and windows that are none, are refused in the configuration', () => {
  expect(ConsentRules.safeParse([{ action: 'defer' }]).success).toBe(false)
  expect(ConsentRules.safeParse([{ action: 'defer' }, { action: 'allow', window: '01:00-02:00' }]).success).toBe(true)
  for (const window of ['24:00-01:00', '1:00-2:00', '05:00-05:00', 'night']) {
    expect(ConsentRules.safeParse([{ action: 'allow', window }]).success).toBe(false)
  }
})
