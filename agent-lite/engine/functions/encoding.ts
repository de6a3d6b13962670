// to_base64, from_base64 and conditional_to_base64 (only what is not printable ASCII), as osquery's
// sqlite_encoding.cpp has them; text that is not base64 decodes to empty text.
import type { RawValue } from '../constraints.ts'
import { asText, unlessNull, type SqlFunction } from './define.ts'

export const encodingFunctions: readonly SqlFunction[] = [
  { name: 'to_base64', argumentCount: 1, call: unlessNull((value = '') => bytesOf(value).toString('base64')) },
  {
    name: 'conditional_to_base64',
    argumentCount: 1,
    call: unlessNull((value = '') => {
      const bytes = bytesOf(value)
      const isPrintable = bytes.every((byte) => byte > 0x1f && byte < 0x7f)
      return bytes.toString(isPrintable ? 'utf8' : 'base64')
    }),
  },
  {
    name: 'from_base64',
    argumentCount: 1,
    call: unlessNull((value = '') => {
      const text = asText(value).replace(/\r?\n/g, '').replace(/=+$/, '')
      return /^[A-Za-z0-9+/]*$/.test(text) ? Buffer.from(text, 'base64').toString('utf8') : ''
    }),
  },
]

function bytesOf(value: Exclude<RawValue, null>): Buffer {
  return Buffer.from(value instanceof Uint8Array ? value : asText(value))
}
