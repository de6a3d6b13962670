// Several processes on one PKI directory, and processes that die in the middle of their work.
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createRoot, createSite, issueDevice } from '../../certs/authority.ts'
import { readIndex } from '../../certs/ca-index.ts'
import { readLeaf } from '../../certs/leaf.ts'

const pki = mkdtempSync(join(tmpdir(), 'tidegate-processes-'))
const authority = new URL('../../certs/authority.ts', import.meta.url).href

beforeAll(() => createRoot({ pki, deployment: 'Acme' }).then(() => undefined))
afterAll(() => rmSync(pki, { recursive: true, force: true }))

/** A process of its own that issues devices `<prefix>-0`, `<prefix>-1` … of a site, and prints a line for each. */
function issuer(site: string, prefix: string, count: number): ChildProcess {
  const script = `
    import { issueDevice } from ${JSON.stringify(authority)}
    for (let index = 0; index < ${count}; index += 1) {
      await issueDevice({ pki: ${JSON.stringify(pki)}, site: '${site}', device: '${prefix}-' + (index % 5), force: true })
      console.log(index)
    }`
  return spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

test('three processes at once lose no entry of the index', async () => {
  await createSite({ pki, site: 'shared' })
  const children = ['a', 'b', 'c'].map((prefix) => issuer('shared', prefix, 10))
  const codes = await Promise.all(
    children.map(async (child) => {
      child.stdout?.resume()
      return (await once(child, 'exit'))[0] as number
    }),
  )
  expect(codes).toEqual([0, 0, 0])
  expect((await readIndex(join(pki, 'sites/shared'))).certificates).toHaveLength(30)
})

test('killed at any moment, a process leaves whole folders, all in the index, and the next one goes on', async () => {
  const site = join(pki, 'sites/killed')
  await createSite({ pki, site: 'killed' })
  for (let round = 0; round < 8; round += 1) {
    const child = issuer('killed', 'd', 100_000)
    // The moment is random by itself: some line, then as many turns of the event loop as the round says.
    await once(child.stdout as NodeJS.ReadableStream, 'data')
    for (let turn = 0; turn < round * 50; turn += 1) await new Promise(setImmediate)
    child.kill('SIGKILL')
    await once(child, 'exit')

    await issueDevice({ pki, site: 'killed', device: `after-${round}` })
    const index = await readIndex(site)
    for (const device of [...Array.from({ length: 5 }, (_, number) => `d-${number}`), `after-${round}`]) {
      const leaf = await readLeaf(join(site, 'devices', device)).catch((error: { code: string }) => error.code)
      if (leaf === 'FILE_MISSING') continue // not issued yet
      const serial = new X509Certificate((leaf as { certPem: string }).certPem).serialNumber.toLowerCase()
      expect(index.certificates.map((entry) => entry.serial)).toContain(serial)
    }
  }
  for (let number = 0; number < 5; number += 1)
    await issueDevice({ pki, site: 'killed', device: `d-${number}`, force: true })
  expect(readdirSync(join(site, 'devices')).filter((name) => name.startsWith('.'))).toEqual([])
  expect(readdirSync(site).filter((name) => name.startsWith('.'))).toEqual([])
})
