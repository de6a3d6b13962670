import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseDeb822 } from './deb822.ts'

const parse = (text: string) => [...parseDeb822(text)].map((stanza) => Object.fromEntries(stanza))

test('reads stanzas, continued values and comments', () => {
  expect(parse('\nTypes: deb\nURIs: http://a\n# no\n  http://b\n\n\n stray\nPackage:x\r\nnonsense\n')).toEqual([
    { types: 'deb', uris: 'http://a\nhttp://b' },
    { package: 'x' },
  ])
})

test('never throws, whatever the text', () => {
  fc.assert(fc.property(fc.string(), (text) => parse(text).every((stanza) => Object.keys(stanza).length > 0)))
})
