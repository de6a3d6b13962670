import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto'
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createRoot, createSite, issueDevice, issueServer, revoke } from './authority.ts'
import { readIndex } from './ca-index.ts'
import { inspectPath } from './inspect-path.ts'
import type { InspectWish } from './inspect-path.ts'
import { makePkcs12 } from './pkcs12.ts'
import { toPem } from './encodings.ts'
import { readPem } from './pem.ts'
import { ecdsaP256, spkiOf, webCryptoKey, x509 } from './x509.ts'

const nowMs = Date.parse('2026-11-24T12:00:00Z')
const scratch = mkdtempSync(join(tmpdir(), 'tidegate-inspect-'))
const pki = join(scratch, 'pki')
const site = join(pki, 'sites/plant-a')
const device = join(site, 'devices/press-07')
let lab: string

beforeAll(async () => {
  await createRoot({ pki, deployment: 'Acme', nowMs })
  await createSite({ pki, site: 'plant-a', nowMs })
  await createSite({ pki, site: 'plant-b', nowMs })
  await issueServer({ pki, role: 'gateway', site: 'plant-a', dns: ['gw.example'], ip: ['10.0.0.1'], nowMs })
  await issueDevice({ pki, site: 'plant-a', device: 'press-07', nowMs })
})
beforeEach(() => {
  lab = mkdtempSync(join(scratch, 'lab-'))
})
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

const read = (...path: string[]) => readFileSync(join(...path), 'utf8')
const ca = [join(pki, 'root/ca.pem'), join(site, 'ca.pem')]

/** Codes of what is found in one file. */
async function codesOf(path: string, wish: Partial<InspectWish> = {}): Promise<string[]> {
  const [inspected] = await inspectPath(path, { nowMs, ...wish })
  return inspected?.findings.map(({ code }) => code) ?? []
}

/** Codes of what is found in a file of this name with this content, checked against the CAs of plant-a. */
function codesOfContent(name: string, content: string | Buffer, wish: Partial<InspectWish> = {}): Promise<string[]> {
  const path = join(lab, name)
  writeFileSync(path, content, { mode: 0o600 })
  return codesOf(path, { ca, ...wish })
}

test('a whole PKI directory that tidegate made is in order, and every file says what it is', async () => {
  const inspected = await inspectPath(pki, { nowMs })
  expect(inspected.flatMap(({ path, findings }) => findings.map(({ code }) => `${path}: ${code}`))).toEqual([])
  expect(inspected.filter(({ facts }) => facts.length === 0)).toEqual([])
  expect(inspected.length).toBeGreaterThan(15)
})

describe('the text of a file', () => {
  const certificate = () => read(device, 'cert.pem')

  test.each<[string, (pem: string) => string | Buffer, string]>([
    ['is empty', () => '', 'FILE_EMPTY'],
    ['is something else', () => '{"cert": true}', 'FILE_NOT_PEM'],
    ['is an OpenSSH key', () => 'ssh-ed25519 AAAA kim@example', 'FILE_NOT_PEM'],
    ['has Windows line ends', (pem) => pem.replaceAll('\n', '\r\n'), 'PEM_CRLF'],
    ['begins with a byte order mark', (pem) => `\ufeff${pem}`, 'FILE_BOM'],
    ['is UTF-16', (pem) => Buffer.from(`\ufeff${pem}`, 'utf16le'), 'FILE_UTF16'],
    ['has its line breaks escaped', (pem) => pem.replaceAll('\n', '\\n'), 'PEM_ESCAPED_NEWLINES'],
    ['has lost its end', (pem) => pem.slice(0, 400), 'PEM_NO_END'],
    ['has lost its beginning', (pem) => pem.slice(60), 'PEM_NO_BEGIN'],
    ['has lost a line', (pem) => pem.split('\n').toSpliced(4, 1).join('\n'), 'PEM_TRUNCATED'],
    ['has lost a character', (pem) => pem.slice(0, 100) + pem.slice(101), 'PEM_BASE64'],
    ['has a strange character', (pem) => `${pem.slice(0, 100)}*${pem.slice(101)}`, 'PEM_BASE64'],
    ['has typographic dashes', (pem) => pem.replace('-----BEGIN', '–––BEGIN'), 'PEM_BOUNDARY_MANGLED'],
    ['ends otherwise than it begins', (pem) => pem.replace('END CERTIFICATE', 'END PUBLIC KEY'), 'PEM_LABELS_DIFFER'],
    ['has a remark outside', (pem) => `# press 07\n${pem}`, 'PEM_TEXT_OUTSIDE'],
    ['lacks the last line break', (pem) => pem.trimEnd(), 'PEM_LAYOUT'],
    [
      "is in OpenSSL's own trusted form",
      (pem) => pem.replaceAll('CERTIFICATE', 'TRUSTED CERTIFICATE'),
      'PEM_UNKNOWN_LABEL',
    ],
  ])('%s', async (_name, mangle, code) => {
    expect(await codesOfContent('device.pem', mangle(certificate()))).toContain(code)
  })

  test('in DER is named as such, and inspected all the same', async () => {
    const der = readPem(Buffer.from(certificate())).blocks[0]?.der as Buffer
    expect(await codesOfContent('device.der', der, { nowMs: Date.parse('2030-01-01') })).toEqual([
      'FILE_IS_DER',
      'CERTIFICATE_EXPIRED',
      'CHAIN_INCOMPLETE',
    ])
  })

  test('of a PKCS#12 bundle is named as such', async () => {
    const bundle = makePkcs12({
      certificates: [new X509Certificate(certificate())],
      keyPem: read(device, 'key.pem'),
      password: 'irrelevant',
      name: 'x',
      protection: 'modern',
    })
    expect(await codesOfContent('cert.pem', bundle)).toEqual(['FILE_IS_PKCS12'])
  })
})

describe('a certificate', () => {
  test.each([
    ['expired', '2028-01-01', 'CERTIFICATE_EXPIRED'],
    ['about to expire', '2027-11-10', 'CERTIFICATE_EXPIRES_SOON'],
    ['not yet valid', '2026-01-01', 'CERTIFICATE_NOT_YET_VALID'],
  ])('%s', async (_name, at, code) => {
    expect(await codesOf(join(device, 'cert.pem'), { nowMs: Date.parse(at) })).toContain(code)
  })

  test('of another role than expected', async () => {
    expect(await codesOf(join(device, 'cert.pem'), { role: 'gateway' })).toEqual(['ROLE_WRONG'])
  })

  test('that does not answer to the name that is dialled, and the hint says what it answers to', async () => {
    const gateway = join(site, 'gateway/cert.pem')
    for (const dialled of ['gw.example', '10.0.0.1']) expect(await codesOf(gateway, { dialled })).toEqual([])
    const [inspected] = await inspectPath(gateway, { nowMs, dialled: '10.0.0.2' })
    expect(inspected?.findings).toMatchObject([
      {
        code: 'NAME_MISSING',
        message: expect.stringContaining('gw.example, 10.0.0.1') as string,
        hint: expect.stringContaining('--ip 10.0.0.2') as string,
      },
    ])
  })

  test('without its intermediate, with the wrong one, or in the wrong order', async () => {
    const [leaf, intermediate] = readPem(Buffer.from(read(device, 'cert.pem'))).blocks.map(({ label, der }) =>
      toPem(label, der),
    ) as [string, string]
    expect(await codesOfContent('a.pem', leaf)).toEqual(['CHAIN_INCOMPLETE'])
    expect(await codesOfContent('b.pem', leaf + read(pki, 'sites/plant-b/ca.pem'))).toContain('CHAIN_BROKEN')
    expect(await codesOfContent('c.pem', leaf + read(pki, 'root/ca.pem') + intermediate)).toContain('CHAIN_ORDER')
  })

  test('of another root, and one that no CA is at hand for', async () => {
    const other = join(lab, 'other')
    await createRoot({ pki: other, deployment: 'Acme', nowMs })
    expect(await codesOf(join(device, 'cert.pem'), { ca: [join(other, 'root/ca.pem')] })).toEqual(['ISSUER_UNKNOWN'])
    copyFileSync(join(site, 'ca.pem'), join(lab, 'lone.pem'))
    expect(await codesOf(join(lab, 'lone.pem'))).toEqual(['CHAIN_UNCHECKED'])
  })

  test('whose key is another one, or can be read by others', async () => {
    copyFileSync(join(device, 'cert.pem'), join(lab, 'cert.pem'))
    copyFileSync(join(site, 'gateway/key.pem'), join(lab, 'key.pem'))
    expect(await codesOf(join(lab, 'cert.pem'), { ca })).toEqual(['KEY_MISMATCH'])
    chmodSync(join(lab, 'key.pem'), 0o640)
    expect(await codesOf(join(lab, 'key.pem'))).toEqual(['KEY_TOO_OPEN', 'KEY_MISMATCH'])
  })

  test('where a key is expected, a key where a certificate is, and both in one file', async () => {
    expect(await codesOfContent('key.pem', read(device, 'cert.pem'))).toContain('KIND_UNEXPECTED')
    expect(await codesOfContent('ca.pem', read(device, 'key.pem'))).toContain('KIND_UNEXPECTED')
    expect(await codesOfContent('both.pem', read(device, 'key.pem') + read(device, 'cert.pem'))).toEqual([
      'KEY_BESIDE_CERTIFICATE',
    ])
  })

  test('that was revoked, while the list itself may be stale', async () => {
    await issueDevice({ pki, site: 'plant-b', device: 'stolen', nowMs })
    await revoke({ pki, site: 'plant-b', subject: { role: 'device', id: 'stolen' }, nowMs })
    expect(await codesOf(join(pki, 'sites/plant-b/devices/stolen/cert.pem'))).toEqual(['CERTIFICATE_REVOKED'])
    const later = { nowMs: nowMs + 31 * 86_400_000 }
    expect(await codesOf(join(pki, 'sites/plant-b/devices/stolen/cert.pem'), later)).toEqual(['CERTIFICATE_REVOKED'])
    expect(await codesOf(join(pki, 'sites/plant-b/crl.pem'), later)).toEqual(['CRL_STALE'])
  })

  describe('made by others', () => {
    const sign = async (
      names: Record<string, string>[],
      extensions: x509.Extension[],
      issuer = 'plant-a',
      key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey,
    ) => {
      const certificate = await x509.X509CertificateGenerator.create({
        subject: names.map((name) => Object.fromEntries(Object.entries(name).map(([type, value]) => [type, [value]]))),
        issuer: new x509.X509Certificate(
          readPem(readFileSync(join(pki, 'sites', issuer, 'ca.pem'))).blocks[0]?.der as Buffer,
        ).subjectName,
        notBefore: new Date(nowMs - 1000),
        notAfter: new Date(nowMs + 100 * 86_400_000),
        publicKey: spkiOf(key),
        signingKey: await webCryptoKey(createPrivateKey(read(pki, 'sites', issuer, 'ca.key'))),
        signingAlgorithm: ecdsaP256,
        extensions,
      })
      return toPem('CERTIFICATE', certificate.rawData) + read(pki, 'sites', issuer, 'ca.pem')
    }
    const client = new x509.ExtendedKeyUsageExtension(['1.3.6.1.5.5.7.3.2'])
    const server = new x509.ExtendedKeyUsageExtension(['1.3.6.1.5.5.7.3.1'])

    test.each<[string, Parameters<typeof sign>, string[]]>([
      ['with an unknown role', [[{ CN: 'a' }, { OU: 'admin' }], [client]], ['SUBJECT_INVALID']],
      ['with two roles', [[{ CN: 'a' }, { OU: 'device' }, { OU: 'gateway' }], [client]], ['SUBJECT_INVALID']],
      ['as a device that may be a server', [[{ CN: 'a' }, { OU: 'device' }], [server]], ['USAGE_WRONG', 'USAGE_WRONG']],
      [
        'as a gateway without names',
        [
          [{ CN: 'plant-a' }, { OU: 'gateway' }],
          [new x509.ExtendedKeyUsageExtension(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'])],
        ],
        ['NAME_MISSING'],
      ],
      [
        'as the gateway of another site',
        [[{ CN: 'plant-b' }, { OU: 'gateway' }], [client]],
        ['USAGE_WRONG', 'NAME_MISSING', 'ISSUER_INVALID'],
      ],
      [
        'as a device that is a CA',
        [
          [{ CN: 'a' }, { OU: 'device' }],
          [client, new x509.BasicConstraintsExtension(true)],
        ],
        ['CA_FLAG_WRONG'],
      ],
      [
        'with a weak key',
        [
          [{ CN: 'a' }, { OU: 'device' }],
          [client],
          'plant-a',
          generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey,
        ],
        ['KEY_WEAK'],
      ],
    ])('%s', async (_name, args, codes) => {
      expect(
        (await codesOfContent('foreign.pem', await sign(...args))).filter((code) => !code.startsWith('CHAIN')),
      ).toEqual(codes)
    })
  })
})

describe('a key', () => {
  test.each<[string, () => string, string]>([
    [
      'with a passphrase',
      () =>
        generateKeyPairSync('ec', {
          namedCurve: 'P-256',
          privateKeyEncoding: { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' },
          publicKeyEncoding: { type: 'spki', format: 'pem' },
        }).privateKey,
      'KEY_ENCRYPTED',
    ],
    [
      'with a passphrase in the old form',
      () =>
        generateKeyPairSync('rsa', {
          modulusLength: 2048,
          privateKeyEncoding: { type: 'pkcs1', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' },
          publicKeyEncoding: { type: 'spki', format: 'pem' },
        }).privateKey,
      'KEY_ENCRYPTED',
    ],
    [
      'that is too short',
      () =>
        generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey.export({
          type: 'pkcs8',
          format: 'pem',
        }) as string,
      'KEY_WEAK',
    ],
    ['that is damaged', () => toPem('PRIVATE KEY', Buffer.from('300302010a', 'hex')), 'KEY_UNREADABLE'],
  ])('%s', async (_name, make, code) => {
    expect(await codesOfContent('lone.key', make())).toEqual([code])
  })

  test('whose private half was damaged is found although its public half still matches', async () => {
    const der = Buffer.from(readPem(readFileSync(join(device, 'key.pem'))).blocks[0]?.der as Buffer)
    der[40] = (der[40] as number) ^ 1 // within the 32 bytes of the private number (RFC 5915)
    copyFileSync(join(device, 'cert.pem'), join(lab, 'cert.pem'))
    expect(await codesOfContent('key.pem', toPem('PRIVATE KEY', der))).toEqual(['KEY_INCONSISTENT'])
    expect(await codesOf(join(lab, 'cert.pem'), { ca })).toEqual(['KEY_MISMATCH'])
  })
})

test('a list that lacks what the index calls revoked is found', async () => {
  const folder = join(lab, 'plant-a')
  mkdirSync(folder)
  for (const name of ['ca.pem', 'crl.pem', 'index.json']) copyFileSync(join(site, name), join(folder, name))
  const index = await readIndex(folder)
  writeFileSync(
    join(folder, 'index.json'),
    JSON.stringify({
      ...index,
      certificates: index.certificates.map((entry) => ({ ...entry, revokedAt: '2026-11-24T00:00:00Z' })),
    }),
  )
  expect(await codesOf(join(folder, 'crl.pem'))).toEqual(['CRL_BEHIND_INDEX'])
})

describe('any changed file of a device', () => {
  const change = fc.record({
    at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    what: fc.oneof(
      fc.record({
        kind: fc.constant('replace' as const),
        text: fc.string({ minLength: 1, maxLength: 4, unit: 'binary' }),
      }),
      fc.record({ kind: fc.constant('base64' as const), text: fc.constantFrom(...'ABCDabcd0189+/=') }),
      fc.record({ kind: fc.constant('insert' as const), text: fc.string({ minLength: 1, maxLength: 4 }) }),
      fc.record({ kind: fc.constant('delete' as const), text: fc.string({ minLength: 1, maxLength: 80 }) }),
      fc.record({ kind: fc.constant('cut' as const), text: fc.constant('') }),
    ),
  })
  const apply = (pem: string, { at, what }: { at: number; what: { kind: string; text: string } }) => {
    const index = Math.floor(at * pem.length)
    if (what.kind === 'cut') return pem.slice(0, index)
    const kept = what.kind === 'insert' ? index : index + what.text.length
    return pem.slice(0, index) + (what.kind === 'delete' ? '' : what.text) + pem.slice(kept)
  }

  test.each([
    ['cert.pem', 'press-07'],
    ['key.pem', 'press-07'],
  ])('%s is never called in order, and never crashes inspect', async (name) => {
    const original = read(device, name)
    const partner = name === 'cert.pem' ? 'key.pem' : 'cert.pem'
    copyFileSync(join(device, partner), join(lab, partner))
    await fc.assert(
      fc.asyncProperty(change, async (wish) => {
        const changed = apply(original, wish)
        fc.pre(changed !== original)
        expect(await codesOfContent(name, changed)).not.toEqual([])
      }),
      { numRuns: 150 },
    )
  })

  test('whatever bytes a file holds, something is said about it', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), async (bytes) => {
        expect(await codesOfContent('any.pem', Buffer.from(bytes))).not.toEqual([])
      }),
    )
  })
})
