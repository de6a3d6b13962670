// md5, sha1 and sha256 of text, in lower-case hex.
import { createHash } from 'node:crypto'
import { asText, unlessNull, type SqlFunction } from './define.ts'

export const hashFunctions: readonly SqlFunction[] = ['md5', 'sha1', 'sha256'].map((name) => ({
  name,
  argumentCount: 1,
  call: unlessNull((value = '') =>
    createHash(name)
      .update(value instanceof Uint8Array ? value : asText(value))
      .digest('hex'),
  ),
}))
