// Why the link to the gateway is down, in words that say what to do. The kind is stable: the log counts by it, and says
// each kind once an hour, since an agent that cannot connect tries again for weeks.
import { AppError } from '../../lib/errors.ts'

export const problemKinds = [
  'unreachable',
  'name-unknown',
  'timeout',
  'gateway-certificate-expired',
  'gateway-certificate-not-yet-valid',
  'unknown-ca',
  'wrong-name',
  'wrong-gateway',
  'refused',
  'own-certificate',
  'ack-timeout',
  'lost',
  'other',
] as const
export type ProblemKind = (typeof problemKinds)[number]

export class LinkProblem extends Error {
  readonly kind: ProblemKind
  readonly hint: string | undefined

  constructor(kind: ProblemKind, message: string, hint?: string, cause?: unknown) {
    super(message, { cause })
    this.name = 'LinkProblem'
    this.kind = kind
    this.hint = hint
  }
}

export interface Peer {
  host: string
  port: number
}

type Explanation = (peer: string) => [ProblemKind, string, string?]

const unreachable =
  (state: string): Explanation =>
  (peer) => ['unreachable', `the gateway ${peer} is not reachable: ${state}`, 'check that it runs, and the network']
const unknownName: Explanation = (peer) => [
  'name-unknown',
  `the name of the gateway ${peer} cannot be resolved`,
  "check 'gateway' in agent.yaml, and DNS",
]
const unknownCa: Explanation = (peer) => [
  'unknown-ca',
  `the certificate of the gateway ${peer} was not issued under the CA in tls.ca`,
  'tls.ca must be the root certificate of this deployment (pki/root/ca.pem)',
]
const refusedOwn =
  (state: string): Explanation =>
  (peer) => [
    'refused',
    `the gateway ${peer} refused this device's certificate: ${state}`,
    'tidegate certs inspect cert.pem --ca root.pem tells why',
  ]

// Node's codes: errno names, X509_V_ERR_* names of OpenSSL, and ERR_SSL_* made of OpenSSL's reason strings.
const explanations: Readonly<Record<string, Explanation>> = {
  ECONNREFUSED: unreachable('nothing listens on that port'),
  EHOSTUNREACH: unreachable('no route to that host'),
  ENETUNREACH: unreachable('no route to that network'),
  EHOSTDOWN: unreachable('the host is down'),
  ENETDOWN: unreachable('the network is down'),
  ETIMEDOUT: unreachable('no answer'),
  ENOTFOUND: unknownName,
  EAI_AGAIN: unknownName,
  CERT_HAS_EXPIRED: (peer) => [
    'gateway-certificate-expired',
    `the certificate of the gateway ${peer} has expired, by this device's clock`,
    'check the clock of this device, or renew the certificate of the gateway',
  ],
  CERT_NOT_YET_VALID: (peer) => [
    'gateway-certificate-not-yet-valid',
    `the certificate of the gateway ${peer} is not valid yet, by this device's clock`,
    'check the clock of this device',
  ],
  UNABLE_TO_GET_ISSUER_CERT: unknownCa,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: unknownCa,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: unknownCa,
  SELF_SIGNED_CERT_IN_CHAIN: unknownCa,
  DEPTH_ZERO_SELF_SIGNED_CERT: unknownCa,
  CERT_SIGNATURE_FAILURE: unknownCa,
  CERT_UNTRUSTED: unknownCa,
  INVALID_PURPOSE: (peer) => ['wrong-gateway', `the certificate at ${peer} is not one of a server`],
  ERR_TLS_CERT_ALTNAME_INVALID: (peer) => [
    'wrong-name',
    `the certificate at ${peer} does not name that host`,
    "write 'gateway' in agent.yaml as the certificate names it, or issue one with that name",
  ],
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED: refusedOwn('it has expired'),
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_REVOKED: refusedOwn('it is revoked'),
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: refusedOwn('it does not verify'),
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN: refusedOwn('it does not verify'),
  ERR_SSL_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE: refusedOwn('it is not one of a client'),
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: refusedOwn('it does not know its issuer'),
  ERR_SSL_TLSV1_ALERT_ACCESS_DENIED: refusedOwn('access denied'),
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: refusedOwn('none arrived'),
}

/** What an error of a connection attempt means. */
export function explain(error: unknown, { host, port }: Peer): LinkProblem {
  if (error instanceof LinkProblem) return error
  const peer = `${host}:${port}`
  // With several addresses Node collects one error for each.
  const first = error instanceof AggregateError ? ((error.errors[0] as Error | undefined) ?? error) : error
  const { code, message } = first as { code?: unknown; message?: string }
  if (typeof code === 'string' && Object.hasOwn(explanations, code)) {
    const [kind, text, hint] = (explanations[code] as Explanation)(peer)
    return new LinkProblem(kind, text, hint, error)
  }
  if (error instanceof AppError) return new LinkProblem('wrong-gateway', `${peer}: ${error.message}`, error.hint, error)
  // A CONNACK that says no (MQTT 3.1.1, 3.2.2.3) carries its return code.
  if (typeof code === 'number') {
    return new LinkProblem('refused', `the gateway ${peer} refused this device: ${message}`, undefined, error)
  }
  if (message === 'connack timeout') {
    return new LinkProblem('timeout', `the gateway ${peer} did not answer in time`, undefined, error)
  }
  if (message === 'Keepalive timeout') {
    return new LinkProblem('lost', `the gateway ${peer} has gone silent`, undefined, error)
  }
  if (code === 'ECONNRESET' || code === 'EPIPE') {
    return new LinkProblem('lost', `the connection to the gateway ${peer} was broken`, undefined, error)
  }
  return new LinkProblem('other', `${peer}: ${message ?? String(error)}`, undefined, error)
}

const quietMs = 3_600_000

/** Says of each kind of problem whether it is time to log it: the first time, and then once an hour. */
export class ProblemLog {
  readonly #loggedAtMs = new Map<ProblemKind, number>()

  isDue(kind: ProblemKind, monotonicMs: number): boolean {
    const last = this.#loggedAtMs.get(kind)
    if (last !== undefined && monotonicMs - last < quietMs) return false
    this.#loggedAtMs.set(kind, monotonicMs)
    return true
  }
}
