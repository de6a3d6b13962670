// docs/protocol.md is a promise to people who write their own device or reader: its bytes are checked here.
import { createPrivateKey, createPublicKey } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { beforeAll, expect, test } from 'vitest'
import { decodeCommand, encodeCommand, type CommandInput } from './commands.ts'
import { DeviceId, SiteId } from './ids.ts'
import { createSigner, loadTrustedKey, type Signer, type TrustedKey } from './jws.ts'
import { limits } from './limits.ts'
import { decodeReceipt, encodeReceipt } from './receipts.ts'
import { decodeEnvelope, encodeEnvelope } from './records.ts'
import { decodeSegment, encodeSegment, sha256Hex } from './segments.ts'

const page = readFileSync(new URL('../docs/protocol.md', import.meta.url), 'utf8')
const device = DeviceId.parse('press-2')
const site = SiteId.parse('plant-a')
let signer: Signer
let keyOf: (owner: string) => Promise<TrustedKey>

beforeAll(async () => {
  // RFC 8037, appendix A.1.
  const x = '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo'
  const key = createPrivateKey({
    key: { kty: 'OKP', crv: 'Ed25519', d: 'nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A', x },
    format: 'jwk',
  })
  const publicPem = createPublicKey(key).export({ type: 'spki', format: 'pem' }).toString()
  signer = await createSigner(key.export({ type: 'pkcs8', format: 'pem' }).toString(), publicPem)
  keyOf = (owner) => loadTrustedKey(publicPem, owner)
})

/** The fenced block after `<!-- example: name -->`; `unwrapped` joins lines that were broken for reading. */
function example(name: string): string {
  const block = new RegExp(`<!-- example: ${name} -->\\n\`\`\`\\w*\\n([\\s\\S]*?)\\n\`\`\``).exec(page)?.[1]
  if (block === undefined) throw new Error(`docs/protocol.md has no example ${name}`)
  return block
}
const unwrapped = (name: string) => example(name).replaceAll('\n', '')

test.each(['smallest-envelope', 'full-envelope', 'every-cell'])(
  'the envelope %s is accepted, plain and compressed',
  (name) => {
    const envelope = decodeEnvelope(Buffer.from(example(name)), 'json', device)
    expect(envelope).toEqual(JSON.parse(example(name)))
    expect(decodeEnvelope(encodeEnvelope(envelope, 'br'), 'br', device)).toEqual(envelope)
  },
)

test('the command and its signature are exactly these bytes', async () => {
  const command = JSON.parse(example('command')) as CommandInput
  expect(await encodeCommand(command, signer)).toBe(unwrapped('command-jws'))
  expect(await decodeCommand(unwrapped('command-jws'), [await keyOf('centre')])).toEqual(command)
})

test('the segment file is exactly these bytes, and decodes', async () => {
  const file = Buffer.from(`${unwrapped('segment-header')}\n${example('segment-body')}\n`)
  expect(sha256Hex(file)).toBe(example('segment-sha256'))
  const { header, items } = await decodeSegment(file, site, [await keyOf('plant-a')])
  expect(items).toEqual([JSON.parse(example('segment-body'))])
  const { v: _v, bodyBytes: _bytes, bodySha256: _sha, items: _count, ...input } = header
  const again = await encodeSegment({ ...(input as typeof header), lines: [example('segment-body')] }, signer)
  expect(again.file.equals(file)).toBe(true)
})

test('the receipt is exactly these bytes, and decodes', async () => {
  const receipt = await decodeReceipt(unwrapped('receipt'), site, [await keyOf('centre')])
  expect(receipt).toMatchObject({ upTo: 1, sha256: example('segment-sha256') })
  const { v: _v, ...rest } = receipt
  expect(await encodeReceipt(rest, signer)).toBe(unwrapped('receipt'))
})

test('the limits on the page are those in the code', () => {
  const table = page.slice(page.indexOf('<!-- limits -->'), page.indexOf('## 2.'))
  const mib = (bytes: number) => `${bytes / 1_048_576} MiB`
  const counts = [limits.recordsPerEnvelope, limits.rowsPerRecord, limits.itemsPerSegment].map((n) =>
    n.toLocaleString('en-US'),
  )
  const sizes = [
    limits.payloadBytes,
    limits.envelopeBytes,
    limits.cellBytes,
    limits.segmentBytes,
    limits.segmentBodyBytes,
  ].map(mib)
  for (const text of [
    ...counts,
    ...sizes,
    String(limits.columns),
    `${limits.jsonDepth} (`,
    `${limits.topicLevels} levels, ${limits.topicBytes}`,
  ]) {
    expect(table).toContain(text)
  }
  expect(table).toContain(`${limits.commandBytes / 1024} KiB`)
})
