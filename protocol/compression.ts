// Compression with a bound on what comes out, so that a small bomb stays small.
import { brotliCompressSync, brotliDecompressSync, constants, gunzipSync, gzipSync } from 'node:zlib'
import { Refusal } from './refusal.ts'

export const codecs = ['br', 'gzip', 'none'] as const
export type Codec = (typeof codecs)[number]

/** Compresses; Brotli at quality 5, where a Pi still keeps up and most of the gain is had. */
export function compress(codec: Codec, bytes: Uint8Array): Buffer {
  switch (codec) {
    case 'br':
      return brotliCompressSync(bytes, {
        params: { [constants.BROTLI_PARAM_QUALITY]: 5, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.byteLength },
      })
    case 'gzip':
      return gzipSync(bytes)
    case 'none':
      return Buffer.from(bytes)
  }
}

/** Decompresses to at most maxBytes. Throws Refusal `too-large` past that, `bad-compression` for anything else. */
export function decompress(codec: Codec, bytes: Uint8Array, maxBytes: number): Buffer {
  try {
    switch (codec) {
      case 'br':
        return brotliDecompressSync(bytes, { maxOutputLength: maxBytes })
      case 'gzip':
        return gunzipSync(bytes, { maxOutputLength: maxBytes })
      case 'none':
        if (bytes.byteLength > maxBytes) throw new Refusal('too-large', `more than ${maxBytes} bytes`)
        return Buffer.from(bytes)
    }
  } catch (error) {
    if (error instanceof Refusal) throw error
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') {
      throw new Refusal('too-large', `decompresses to more than ${maxBytes} bytes`, error)
    }
    throw new Refusal('bad-compression', `not ${codec}: ${(error as Error).message}`, error)
  }
}
