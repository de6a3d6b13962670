// Parsing of JSON that came from outside: UTF-8 and depth are checked before anything is built from it.
import { Refusal } from './refusal.ts'
import { limits } from './limits.ts'

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** Parses bytes as JSON. Throws Refusal `not-utf8`, `too-deep` or `not-json`. */
export function parseJson(bytes: Uint8Array): unknown {
  let text: string
  try {
    text = utf8.decode(bytes)
  } catch (error) {
    throw new Refusal('not-utf8', 'not valid UTF-8', error)
  }
  checkDepth(text)
  try {
    return JSON.parse(text) as unknown
  } catch (error) {
    throw new Refusal('not-json', `not JSON: ${(error as Error).message.slice(0, 120)}`, error)
  }
}

function checkDepth(text: string): void {
  let depth = 0
  let inString = false
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (inString) {
      if (code === 0x5c) index++
      else if (code === 0x22) inString = false
    } else if (code === 0x22) inString = true
    else if (code === 0x5b || code === 0x7b) {
      if (++depth > limits.jsonDepth) throw new Refusal('too-deep', `nested deeper than ${limits.jsonDepth}`)
    } else if (code === 0x5d || code === 0x7d) depth--
  }
}
