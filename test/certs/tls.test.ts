// Real handshakes: who is let in with these certificates, and whom the program then believes to have before it.
import { execFile } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, createServer } from 'node:tls'
import type { ConnectionOptions, Server, TLSSocket } from 'node:tls'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { createRoot, createSite, issueDevice, issueServer } from '../../certs/authority.ts'
import { openCa } from '../../certs/ca.ts'
import { readPeerIdentity } from '../../certs/peer.ts'
import type { PeerIdentity } from '../../certs/peer.ts'
import { subjectAltNames } from '../../certs/server-names.ts'
import { signCertificate } from '../../certs/sign-certificate.ts'
import { newKey } from '../../certs/x509.ts'

const pki = mkdtempSync(join(tmpdir(), 'tidegate-tls-'))
const at = (...names: string[]) => join(pki, ...names)
const identity = (folder: string) => ({
  cert: readFileSync(at(folder, 'cert.pem')),
  key: readFileSync(at(folder, 'key.pem')),
})
const root = () => readFileSync(at('root/ca.pem'))
const chain = () => readFileSync(at('sites/plant-a/chain.pem'))
let server: Server | undefined

beforeAll(async () => {
  await createRoot({ pki, deployment: 'Acme' })
  await createSite({ pki, site: 'plant-a' })
  await issueServer({ pki, role: 'gateway', site: 'plant-a', loopback: true })
  await issueServer({ pki, role: 'coordinator', loopback: true })
  await issueDevice({ pki, site: 'plant-a', device: 'press-07' })
  await issueDevice({ pki, site: 'plant-a', device: 'old-plc', key: 'rsa2048' })
  await issueDevice({
    pki,
    site: 'plant-a',
    device: 'expired',
    validity: { notBeforeMs: Date.parse('2020-01-01'), notAfterMs: Date.parse('2021-01-01') },
  })
})
afterEach(() => server?.close())
afterAll(() => rmSync(pki, { recursive: true, force: true }))

type Seen = PeerIdentity | { code: string }

/** A server that requires client certificates from `ca`; `seen` gets the identity of each peer. */
async function listen(
  own: string,
  ca: Buffer,
  maxVersion: 'TLSv1.2' | 'TLSv1.3' = 'TLSv1.3',
): Promise<{ port: number; seen: Seen[] }> {
  const seen: Seen[] = []
  server = createServer({ ...identity(own), ca, requestCert: true, rejectUnauthorized: true, maxVersion }, (socket) => {
    seen.push(identify(socket))
    socket.on('error', () => undefined)
    socket.end('welcome\n')
  })
  server.on('tlsClientError', (error) => seen.push({ code: (error as NodeJS.ErrnoException).code ?? error.message }))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { port: (server.address() as AddressInfo).port, seen }
}

function identify(socket: TLSSocket): Seen {
  try {
    return readPeerIdentity(socket)
  } catch (error) {
    return { code: (error as { code: string }).code }
  }
}

/** Connects, reads to the end, and returns whom the client believes to have reached, with a session to resume. */
async function dial(
  port: number,
  options: ConnectionOptions,
): Promise<{ server: Seen; session: Buffer | undefined; text: string }> {
  const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', ca: root(), ...options })
  let session: Buffer | undefined
  let text = ''
  socket.on('session', (ticket: Buffer) => (session = ticket))
  socket.on('data', (data: Buffer) => (text += data.toString()))
  await once(socket, 'secureConnect')
  const who = identify(socket)
  await once(socket, 'close')
  return { server: who, session, text }
}

function sClient(port: number, ...args: string[]): Promise<string> {
  return new Promise((resolve) => {
    const child = execFile(
      'openssl',
      ['s_client', '-connect', `127.0.0.1:${port}`, '-verify_return_error', '-CAfile', at('root/ca.pem'), ...args],
      { timeout: 20_000 },
      (_error, stdout, stderr) => resolve(stdout + stderr),
    )
    child.stdin?.end()
  })
}

describe('a gateway', () => {
  test.each(['press-07', 'old-plc'])(
    'knows device %s that comes with openssl s_client, and s_client accepts the gateway by its name',
    async (id) => {
      const { port, seen } = await listen('sites/plant-a/gateway', chain())
      const folder = at('sites/plant-a/devices', id)
      const text = await sClient(
        port,
        '-cert',
        join(folder, 'cert.pem'),
        '-key',
        join(folder, 'key.pem'),
        '-verify_hostname',
        'localhost',
        '-quiet',
      )
      expect(text).toContain('welcome')
      const leaf = new X509Certificate(readFileSync(join(folder, 'cert.pem')))
      expect(seen).toEqual([
        {
          id,
          role: 'device',
          serial: leaf.serialNumber.toLowerCase(),
          notBeforeMs: Date.parse(leaf.validFrom),
          notAfterMs: Date.parse(leaf.validTo),
          fingerprint256: leaf.fingerprint256.toLowerCase().replaceAll(':', ''),
          issuerFingerprint256: new X509Certificate(readFileSync(at('sites/plant-a/ca.pem'))).fingerprint256
            .toLowerCase()
            .replaceAll(':', ''),
          issuerCn: 'plant-a',
          issuerRole: 'site-ca',
        },
      ])
    },
  )

  test('is refused by s_client under a name it does not have', async () => {
    const { port } = await listen('sites/plant-a/gateway', chain())
    const folder = at('sites/plant-a/devices/press-07')
    const text = await sClient(
      port,
      '-cert',
      join(folder, 'cert.pem'),
      '-key',
      join(folder, 'key.pem'),
      '-verify_hostname',
      'other.example',
    )
    expect(text).toMatch(/hostname mismatch/i)
  })

  test('lets in no device that has expired, none of another root, and none without certificate', async () => {
    const other = at('other')
    await createRoot({ pki: other, deployment: 'Acme' })
    await createSite({ pki: other, site: 'plant-a' })
    await issueDevice({ pki: other, site: 'plant-a', device: 'press-07' })
    const { port, seen } = await listen('sites/plant-a/gateway', chain())
    for (const options of [
      identity('sites/plant-a/devices/expired'),
      identity('other/sites/plant-a/devices/press-07'),
      {},
    ]) {
      await expect(dial(port, { ...options, maxVersion: 'TLSv1.2' })).rejects.toThrow()
    }
    expect(seen).toHaveLength(3)
    expect(seen.every((peer) => 'code' in peer)).toBe(true)
  })

  test('cannot be played by a device: its certificate is none for servers', async () => {
    const { port } = await listen('sites/plant-a/devices/press-07', chain())
    await expect(dial(port, identity('sites/plant-a/devices/press-07'))).rejects.toMatchObject({
      code: 'INVALID_PURPOSE',
    })
  })
})

describe('the coordinator, which trusts the root alone', () => {
  test('knows a gateway as its site, and the gateway knows the coordinator', async () => {
    const { port, seen } = await listen('coordinator', root())
    const { server: who, text } = await dial(port, identity('sites/plant-a/gateway'))
    expect(text).toBe('welcome\n')
    expect(who).toMatchObject({ id: 'coordinator', role: 'coordinator', issuerRole: 'root-ca' })
    expect(seen).toMatchObject([{ id: 'plant-a', role: 'gateway', issuerCn: 'plant-a', issuerRole: 'site-ca' }])
  })
})

describe.each(['TLSv1.2', 'TLSv1.3'] as const)('a resumed session (%s)', (version) => {
  test('still names the peer, and its CA where the server lists that CA', async () => {
    const { port, seen } = await listen('sites/plant-a/gateway', chain(), version)
    const device = identity('sites/plant-a/devices/press-07')
    const { session } = await dial(port, device)
    const { server: who } = await dial(port, { ...device, session })
    expect(seen).toHaveLength(2)
    expect(seen[1]).toEqual(seen[0])
    // Node gives a client no certificate then; the refusal says what to change.
    expect(who).toEqual({ code: 'PEER_SESSION_RESUMED' })
  })

  test('names the peer without the fingerprint of its CA where the server knows only the root', async () => {
    const { port, seen } = await listen('coordinator', root(), version)
    const gateway = identity('sites/plant-a/gateway')
    const { session } = await dial(port, gateway)
    await dial(port, { ...gateway, session })
    expect(seen[1]).toEqual({ ...seen[0], issuerFingerprint256: null })
  })
})

test('certificates of a site CA that claims to be the coordinator, or another site, verify in TLS and are refused by the program', async () => {
  const evil = at('evil')
  await createRoot({ pki: evil, deployment: 'Acme' })
  for (const site of ['plant-a', 'plant-b']) await createSite({ pki: evil, site })
  // The real CA of plant-a, used where the name is plant-b: what a compromised gateway could sign.
  const a = join(evil, 'sites/plant-a')
  await issueServer({ pki: evil, role: 'gateway', site: 'plant-b', loopback: true })
  const ca = await openCa(a)
  for (const [role, id] of [
    ['gateway', 'plant-b'],
    ['coordinator', 'coordinator'],
  ] as const) {
    const key = await newKey('p256')
    const { pem } = await signCertificate(
      {
        role,
        id,
        deployment: 'Acme',
        publicKey: key.publicKey,
        validity: ca.validity,
        altNames: subjectAltNames({ loopback: true }),
      },
      ca,
    )
    writeFileSync(join(evil, 'cert.pem'), pem + ca.certPem)
    writeFileSync(join(evil, 'key.pem'), key.privatePem)
    const { port } = await listen('evil', readFileSync(join(evil, 'root/ca.pem')))
    const client = identity('evil/sites/plant-b/gateway')
    const { server: who } = await dial(port, { ...client, ca: readFileSync(join(evil, 'root/ca.pem')) })
    expect(who).toEqual({ code: 'PEER_ISSUER_INVALID' })
    server?.close()
  }
})
