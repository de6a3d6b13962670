import { expect, test } from 'vitest'
import { explain, LinkProblem, ProblemLog } from './problems.ts'

const peer = { host: 'gw', port: 8883 }
const withCode = (code: string) => Object.assign(new Error('raw text'), { code })

test('each known cause has its kind, and names the gateway in words of its own', () => {
  const kinds = {
    ECONNREFUSED: 'unreachable',
    ENOTFOUND: 'name-unknown',
    CERT_HAS_EXPIRED: 'gateway-certificate-expired',
    CERT_NOT_YET_VALID: 'gateway-certificate-not-yet-valid',
    SELF_SIGNED_CERT_IN_CHAIN: 'unknown-ca',
    ERR_TLS_CERT_ALTNAME_INVALID: 'wrong-name',
    ERR_SSL_SSLV3_ALERT_CERTIFICATE_REVOKED: 'refused',
  }
  for (const [code, kind] of Object.entries(kinds)) {
    const problem = explain(withCode(code), peer)
    expect(problem.kind).toBe(kind)
    expect(problem.message).toContain('gw:8883')
    expect(problem.message).not.toContain('raw text')
  }
})

test('of several addresses that failed, the first is told', () => {
  const both = new AggregateError([withCode('EHOSTUNREACH'), withCode('ECONNREFUSED')])
  expect(explain(both, peer)).toMatchObject({ kind: 'unreachable', message: expect.stringContaining('no route') })
})

test('a CONNACK that says no, silence, and what nobody foresaw are told apart', () => {
  const refused = Object.assign(new Error('Connection refused: Not authorized'), { code: 5 })
  expect(explain(refused, peer).kind).toBe('refused')
  expect(explain(new Error('connack timeout'), peer).kind).toBe('timeout')
  expect(explain(new Error('Keepalive timeout'), peer).kind).toBe('lost')
  expect(explain(withCode('ECONNRESET'), peer).kind).toBe('lost')
  expect(explain(withCode('EWHAT'), peer)).toMatchObject({ kind: 'other', message: 'gw:8883: raw text' })
  const known = new LinkProblem('ack-timeout', 'x')
  expect(explain(known, peer)).toBe(known)
})

test('each kind is logged once an hour, others in between all the same', () => {
  const problems = new ProblemLog()
  expect(problems.isDue('unreachable', 0)).toBe(true)
  expect(problems.isDue('unreachable', 3_599_999)).toBe(false)
  expect(problems.isDue('refused', 3_599_999)).toBe(true)
  expect(problems.isDue('unreachable', 3_600_000)).toBe(true)
})
