import { describe, expect, test } from 'vitest'
import { backdateMs, chooseValidity, dayMs } from './validity.ts'

const nowMs = Date.parse('2026-11-24T12:00:00.789Z')
const issuer = { notBefore: new Date('2026-01-01T00:00:00Z'), notAfter: new Date('2036-01-01T00:00:00Z') }
const dates = (...args: Parameters<typeof chooseValidity>) => {
  const { notBefore, notAfter } = chooseValidity(...args)
  return [notBefore.toISOString(), notAfter.toISOString()]
}

describe('chooseValidity', () => {
  test('begins a day back, for clocks that lag, and has no fraction of a second', () => {
    expect(dates('device', { days: 10 }, nowMs, issuer)).toEqual([
      '2026-11-23T12:00:00.000Z',
      '2026-12-04T12:00:00.000Z',
    ])
  })

  test('never begins before its issuer nor, unless asked, ends after it', () => {
    const young = { notBefore: new Date(nowMs - 1000), notAfter: new Date(nowMs + 30 * dayMs) }
    const { notBefore, notAfter } = chooseValidity('device', {}, nowMs, young)
    expect(notBefore.getTime()).toBeGreaterThanOrEqual(young.notBefore.getTime() - 1000)
    expect(notAfter.getTime()).toBeLessThanOrEqual(young.notAfter.getTime())
    expect(() => chooseValidity('device', { days: 31 }, nowMs, young)).toThrow(
      expect.objectContaining({ code: 'VALIDITY_INVALID' }),
    )
  })

  test('gives a certificate that can be used although the clock that signs stands in 1970', () => {
    const { notBefore, notAfter } = chooseValidity('device', { days: 30 }, 60_000, issuer)
    expect(notBefore).toEqual(issuer.notBefore)
    expect(notAfter.getTime()).toBe(issuer.notBefore.getTime() + 30 * dayMs)
  })

  test('makes certificates of the past for tests, when both ends are given', () => {
    const past = { notBeforeMs: Date.parse('2020-01-01'), notAfterMs: Date.parse('2021-01-01') }
    expect(dates('device', past, nowMs, issuer)).toEqual(['2020-01-01T00:00:00.000Z', '2021-01-01T00:00:00.000Z'])
    expect(() => chooseValidity('device', { notAfterMs: past.notAfterMs }, nowMs, issuer)).toThrow(/before it begins/)
  })

  test.each([
    { days: 0 },
    { days: -1 },
    { days: NaN },
    { days: 1e9 },
    { days: 1, notAfterMs: nowMs + dayMs },
    { notAfterMs: NaN },
    { notAfterMs: 8.64e15 },
  ])('refuses %j', (wish) => {
    expect(() => chooseValidity('root-ca', wish, nowMs)).toThrow(
      expect.objectContaining({ code: 'VALIDITY_INVALID', exit: 'usage' }),
    )
  })

  test('refuses to sign with a CA that has expired, and says so', () => {
    expect(() => chooseValidity('device', {}, issuer.notAfter.getTime() + backdateMs, issuer)).toThrow(
      expect.objectContaining({ code: 'CA_EXPIRED' }),
    )
  })
})
