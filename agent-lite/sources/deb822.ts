// Debian's control format (deb822(5)): stanzas with a blank line between, `Field: value`, continued by indented lines.
// dpkg's status and APT's .sources are in it.

/** Fields of one stanza by lower-case name; lines of a value are trimmed and keep a newline between them. */
export type Stanza = Map<string, string>

/** Lines that are neither field nor continuation are passed over; a comment starts at the beginning of a line. */
export function* parseDeb822(text: string): Generator<Stanza> {
  let stanza: Stanza = new Map()
  let name: string | undefined
  for (const line of text.split('\n')) {
    if (line.startsWith('#')) continue
    if (line.trim() === '') {
      if (stanza.size > 0) yield stanza
      stanza = new Map()
      name = undefined
    } else if (line.startsWith(' ') || line.startsWith('\t')) {
      if (name !== undefined) stanza.set(name, `${stanza.get(name) ?? ''}\n${line.trim()}`)
    } else {
      const colon = line.indexOf(':')
      name = colon < 1 ? undefined : line.slice(0, colon).toLowerCase()
      if (name !== undefined) stanza.set(name, line.slice(colon + 1).trim())
    }
  }
  if (stanza.size > 0) yield stanza
}
