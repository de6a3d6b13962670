// The names a server certificate answers to (subjectAltName). TLS clients compare what they dialled with these and nothing else.
import { isIP } from 'node:net'
import { AppError } from '../lib/errors.ts'

export interface ServerNames {
  /** DNS names; a leading `*.` label is allowed. */
  dns?: readonly string[]
  /** IPv4 or IPv6 addresses. */
  ip?: readonly string[]
  /** Adds localhost, 127.0.0.1 and ::1: for demos and tests on one machine. */
  loopback?: boolean
}

/** SAN entries in the order given, without repeats; throws SERVER_NAME_INVALID (exit 2), also when there is none. */
export function subjectAltNames({
  dns = [],
  ip = [],
  loopback = false,
}: ServerNames): { type: 'dns' | 'ip'; value: string }[] {
  const refuse = (message: string, hint: string) =>
    new AppError('SERVER_NAME_INVALID', message, { hint, exit: 'usage' })
  const names = new Map<string, { type: 'dns' | 'ip'; value: string }>()
  for (const name of [...dns, ...(loopback ? ['localhost'] : [])]) {
    const value = name.toLowerCase()
    if (isIP(value) !== 0) throw refuse(`${name} is an IP address, not a DNS name`, `give it as --ip ${name}`)
    if (!isDnsName(value))
      throw refuse(`${JSON.stringify(name)} is not a DNS name`, 'give a name such as gateway.plant-a.example')
    names.set(`dns ${value}`, { type: 'dns', value })
  }
  for (const value of [...ip, ...(loopback ? ['127.0.0.1', '::1'] : [])]) {
    if (isIP(value) === 0 || value.includes('%'))
      throw refuse(`${JSON.stringify(value)} is not an IP address`, 'give an address such as 10.0.0.1 or fd00::1')
    names.set(`ip ${value}`, { type: 'ip', value })
  }
  if (names.size === 0) {
    throw refuse(
      'a server certificate without names cannot be dialled',
      'give every name and address that peers dial: --dns gateway.plant-a.example --ip 10.0.0.1 (or --loopback for this machine only)',
    )
  }
  return [...names.values()]
}

function isDnsName(name: string): boolean {
  return (
    name.length <= 253 &&
    name
      .replace(/^\*\./, '')
      .split('.')
      .every((label) => /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/.test(label))
  )
}
