// `tidegate certs` as a person or a script uses it: from an empty folder to a device ready to be flashed.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Command } from 'commander'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { certsCommand } from '../../cli/commands/certs.ts'
import { exitCodeOf } from '../../lib/errors.ts'

const scratch = mkdtempSync(join(tmpdir(), 'tidegate-command-'))
const pki = join(scratch, 'pki')
const at = (...names: string[]) => join(scratch, ...names)

afterAll(() => rmSync(scratch, { recursive: true, force: true }))
afterEach(() => {
  vi.restoreAllMocks()
  process.exitCode = undefined
})

interface Run {
  out: string
  notes: string
  exitCode: number
}

/** Runs one command line; usage errors of commander count as exit code 2, as cli/main.ts has it. */
async function tidegate(...args: string[]): Promise<Run> {
  let out = ''
  let notes = ''
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += String(text)
    return true
  })
  vi.spyOn(console, 'error').mockImplementation((text: string) => {
    notes += `${text}\n`
  })
  const command = silent(certsCommand())
  let exitCode = 0
  try {
    await command.parseAsync(args, { from: 'user' })
    exitCode = Number(process.exitCode ?? 0)
  } catch (error) {
    exitCode = (error as { code: string }).code.startsWith('commander.') ? 2 : exitCodeOf(error)
    notes += (error as Error).message
  } finally {
    vi.restoreAllMocks()
    process.exitCode = undefined
  }
  return { out, notes, exitCode }
}

function silent(command: Command): Command {
  command.exitOverride().configureOutput({ writeErr: () => undefined })
  for (const child of command.commands) silent(child)
  return command
}

const onPki = (...args: string[]) => tidegate(...args, '--pki', pki)

beforeAll(async () => {
  for (const args of [
    ['init', '--name', 'Acme Water'],
    ['site', 'plant-a'],
    ['server', '--role', 'coordinator', '--dns', 'centre.example'],
    ['server', '--role', 'gateway', '--site', 'plant-a', '--dns', 'gw.example', '--ip', '10.0.0.1'],
    ['issue', '--site', 'plant-a', 'press-07', 'press-08'],
  ]) {
    const run = await onPki(...args)
    expect({ args, ...run }).toMatchObject({ exitCode: 0, notes: '' })
  }
})

test('lists what each CA issued, for people and for machines', async () => {
  const { out } = await onPki('list')
  for (const id of ['Acme Water root', 'plant-a', 'coordinator', 'press-07', 'press-08']) expect(out).toContain(id)
  const listed = JSON.parse((await onPki('list', '--site', 'plant-a', '--json')).out) as {
    certificates: { cn: string }[]
  }[]
  expect(listed.flatMap(({ certificates }) => certificates.map(({ cn }) => cn))).toEqual([
    'plant-a',
    'press-07',
    'press-08',
  ])
  expect((await onPki('list', '--expires-in', '1')).out).toBe('')
})

test('issues again only with --force, and then says that the earlier certificate is still valid', async () => {
  expect(await onPki('issue', '--site', 'plant-a', 'press-08')).toMatchObject({ exitCode: 6 })
  const { exitCode, notes } = await onPki('issue', '--site', 'plant-a', 'press-08', '--force')
  expect(exitCode).toBe(0)
  expect(notes).toMatch(/stays valid until .*certs revoke --site plant-a --serial [0-9a-f]{32} ends it/)
})

test('revokes, and inspect then says so with exit code 6', async () => {
  await onPki('issue', '--site', 'plant-a', 'stolen')
  expect((await tidegate('inspect', pki)).exitCode).toBe(0)
  const revoked = JSON.parse(
    (await onPki('revoke', '--site', 'plant-a', 'stolen', '--reason', 'key-compromise', '--json')).out,
  ) as unknown
  expect(revoked).toMatchObject({ revoked: [{ cn: 'stolen', reason: 'key-compromise' }], crl: { number: 2 } })
  const inspected = await tidegate('inspect', join(pki, 'sites/plant-a/devices/stolen/cert.pem'))
  expect(inspected).toMatchObject({ exitCode: 6, out: expect.stringContaining('CERTIFICATE_REVOKED') as string })
  expect((await onPki('revoke', '--site', 'plant-a', '--refresh')).out).toContain('list number 3')
  expect((await onPki('list', '--revoked')).out).toMatch(/stolen .* revoked \d{4}-\d\d-\d\d: key-compromise/)
})

test('makes expired certificates for tests', async () => {
  await onPki('issue', '--site', 'plant-a', 'old', '--not-before', '2020-01-01', '--not-after', '2021-01-01T12:00:00Z')
  const { exitCode, out } = await tidegate('inspect', join(pki, 'sites/plant-a/devices/old/cert.pem'), '--json')
  expect(exitCode).toBe(6)
  expect(JSON.parse(out)).toMatchObject([{ findings: [{ code: 'CERTIFICATE_EXPIRED', severity: 'error' }] }])
  expect(
    (await tidegate('inspect', join(pki, 'sites/plant-a/devices/old/cert.pem'), '--at', '2020-06-01')).exitCode,
  ).not.toBe(0)
})

test.each([
  [['init'], 2],
  [['init', '--name', 'x', '--days', 'many'], 2],
  [['site', 'Plant A'], 2],
  [['issue', 'press-09'], 2],
  [['issue', '--site', 'plant-a', 'site'], 2],
  [['issue', '--site', 'nowhere', 'press-09'], 6],
  [['issue', '--site', 'plant-a', 'press-09', '--csr', 'none.csr'], 6],
  [['issue', '--site', 'plant-a', 'press-09', '--csr', 'x', '--key', 'rsa2048'], 2],
  [['issue', '--site', 'plant-a', 'press-09', '--days', '99999'], 2],
  [['server', '--role', 'gateway', '--site', 'plant-a'], 2],
  [['server', '--role', 'gateway', '--dns', 'gw.example'], 2],
  [['server', '--role', 'device', '--site', 'plant-a'], 2],
  [['revoke', '--site', 'plant-a'], 2],
  [['revoke', '--site', 'plant-a', 'nobody'], 6],
  [['revoke', '--site', 'plant-a', 'press-07', '--reason', 'bad mood'], 2],
  [['export', '--site', 'plant-a', 'press-07'], 2],
  [['export', '--site', 'plant-a', '--bundle', 'x'], 2],
])('%j is refused with exit code %i and changes nothing', async (args, code) => {
  const before = readFileSync(join(pki, 'sites/plant-a/index.json'), 'utf8')
  const { exitCode, notes } = await onPki(...args)
  expect({ exitCode, notes }).toMatchObject({ exitCode: code })
  expect(readFileSync(join(pki, 'sites/plant-a/index.json'), 'utf8')).toBe(before)
  expect(readdirSync(join(pki, 'sites/plant-a/devices'))).not.toContain('press-09')
})

describe('export', () => {
  test('gives a device its identity, its trust and the keys whose commands it obeys', async () => {
    const { exitCode } = await onPki('export', '--site', 'plant-a', 'press-07', '--bundle', at('press-07'))
    expect(exitCode).toBe(0)
    expect(readdirSync(at('press-07')).sort()).toEqual([
      'ca.pem',
      'cert.pem',
      'command-signing.pub',
      'key.pem',
      'site-signing.pub',
    ])
    expect(readFileSync(at('press-07/ca.pem'), 'utf8')).toBe(readFileSync(join(pki, 'root/ca.pem'), 'utf8'))
    expect(statSync(at('press-07/key.pem')).mode & 0o777).toBe(0o600)
    expect((await tidegate('inspect', at('press-07'))).out).not.toContain('not in order')
  })

  test('gives a gateway a PKI directory of its own, in which it issues and revokes without the root key', async () => {
    await onPki('export', '--site', 'plant-a', '--role', 'gateway', '--bundle', at('gateway'))
    expect(existsSync(at('gateway/root/ca.key'))).toBe(false)
    expect(existsSync(at('gateway/centre/command-signing.key'))).toBe(false)
    expect((await tidegate('issue', '--site', 'plant-a', 'new-one', '--pki', at('gateway'))).exitCode).toBe(0)
    expect((await tidegate('revoke', '--site', 'plant-a', 'new-one', '--pki', at('gateway'))).exitCode).toBe(0)
    expect(
      (await tidegate('export', '--site', 'plant-a', 'new-one', '--bundle', at('new-one'), '--pki', at('gateway')))
        .exitCode,
    ).toBe(0)
    expect((await tidegate('site', 'plant-z', '--pki', at('gateway'))).notes).toContain('ca.key')
    expect((await tidegate('list', '--pki', at('gateway'))).out).toContain('new-one')
    // It has issued since: exporting over it would lose that.
    const again = await onPki('export', '--site', 'plant-a', '--role', 'gateway', '--bundle', at('gateway'), '--force')
    expect(again).toMatchObject({ exitCode: 6 })
    expect(existsSync(at('gateway/sites/plant-a/devices/new-one/cert.pem'))).toBe(true)
  })

  test('gives the coordinator the signing key of the centre and the public keys of its sites, but no CA key', async () => {
    const { out } = await onPki('export', '--role', 'coordinator', '--bundle', at('centre'), '--json')
    const { files } = JSON.parse(out) as { files: string[] }
    expect(files.map((path) => path.slice(at('centre').length + 1)).sort()).toEqual([
      'centre/command-signing.key',
      'centre/command-signing.pub',
      'coordinator/cert.pem',
      'coordinator/key.pem',
      'root/ca.pem',
      'root/crl.pem',
      'sites/plant-a/signing.pub',
    ])
  })

  test('makes a password for a PKCS#12 file where none is given, and takes the first line of a file where one is', async () => {
    const { out } = await onPki('export', '--site', 'plant-a', 'press-07', '--p12', at('a.p12'))
    expect(out).toMatch(/^password: ([a-z2-9]{5}-){3}[a-z2-9]{5}$/m)
    writeFileSync(at('password'), 'correct horse\nsecond line\n')
    const given = await onPki(
      'export',
      '--site',
      'plant-a',
      'press-07',
      '--p12',
      at('b.p12'),
      '--password-file',
      at('password'),
    )
    expect(given.out).toBe(`${at('b.p12')}\n`)
    expect(statSync(at('b.p12')).mode & 0o777).toBe(0o600)
    writeFileSync(at('password'), 'short')
    expect(
      await onPki('export', '--site', 'plant-a', 'press-07', '--p12', at('c.p12'), '--password-file', at('password')),
    ).toMatchObject({ exitCode: 2 })
  })

  test('never replaces a folder that holds anything else, not even with --force', async () => {
    await onPki('export', '--site', 'plant-a', 'press-07', '--bundle', at('mine'))
    writeFileSync(at('mine/notes.txt'), 'mine')
    expect(await onPki('export', '--site', 'plant-a', 'press-07', '--bundle', at('mine'), '--force')).toMatchObject({
      exitCode: 6,
      notes: expect.stringContaining('notes.txt') as string,
    })
    rmSync(at('mine/notes.txt'))
    expect(await onPki('export', '--site', 'plant-a', 'press-07', '--bundle', at('mine'), '--force')).toMatchObject({
      exitCode: 0,
    })
  })
})

test('text from a certificate cannot command the terminal', async () => {
  writeFileSync(at('strange.pem'), '-----BEGIN \u001b[31mCERTIFICATE-----\n')
  const { out } = await tidegate('inspect', at('strange.pem'))
  expect(out).not.toContain('\u001b')
})

test('every subcommand explains itself with examples', () => {
  for (const command of certsCommand().commands) {
    let help = ''
    command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp()
    expect([command.name(), help]).toEqual([
      command.name(),
      expect.stringContaining(`tidegate certs ${command.name()}`),
    ])
  }
})
