// Small files that are replaced whole: a header line, a body, and a checksum over both, so that a torn or damaged file is
// known for what it is. The folder is not synced after the rename: a power cut may bring the older file back, never a mix.
import { createHash } from 'node:crypto'
import { open, readFile, rename, rm } from 'node:fs/promises'

export interface Content {
  head: unknown
  body: Buffer
}

export async function writeChecked(path: string, { head, body }: Content): Promise<void> {
  const line = Buffer.from(JSON.stringify(head))
  const bytes = Buffer.concat([Buffer.from(`${digest(line, body)} `), line, Buffer.from('\n'), body])
  const next = `${path}.new`
  try {
    const handle = await open(next, 'w', 0o600)
    try {
      await handle.writeFile(bytes)
      await handle.datasync()
    } finally {
      await handle.close()
    }
    await rename(next, path)
  } catch (error) {
    // On a full disk, half a file must not stay.
    await rm(next, { force: true }).catch(() => undefined)
    throw error
  }
}

/** Undefined when there is no such file. Throws Error when it is damaged or cannot be read. */
export async function readChecked(path: string): Promise<Content | undefined> {
  let bytes: Buffer
  try {
    bytes = await readFile(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  const newline = bytes.indexOf(0x0a)
  const line = bytes.subarray(digestChars + 1, newline)
  const body = bytes.subarray(newline + 1)
  if (newline <= digestChars || bytes.toString('latin1', 0, digestChars) !== digest(line, body)) {
    throw new Error(`${path} is damaged`)
  }
  return { head: JSON.parse(line.toString()) as unknown, body }
}

const digestChars = 43

function digest(line: Uint8Array, body: Uint8Array): string {
  return createHash('sha256').update(line).update(body).digest('base64url')
}
