// Package sources of APT, from one-line .list and deb822 .sources files (sources.list(5)), with what their downloaded
// Release file says. A source that was never downloaded is a row with those columns NULL; osquery leaves it out, which
// reads as if it were not configured. deb-src lines are not rows.
import { parseDeb822 } from '../sources/deb822.ts'
import type { Device } from '../sources/device.ts'
import { pidWithNamespace, warnOfNamespaces } from '../sources/namespace.ts'
import { orWarn } from '../sources/or-warn.ts'
import { defineTable } from './define.ts'

const folder = '/etc/apt/sources.list.d'
const lists = '/var/lib/apt/lists'

export const aptSources = defineTable({
  name: 'apt_sources',
  about: 'Package sources that APT is configured to install from.',
  origin: 'osquery',
  columns: {
    name: { type: 'TEXT', about: 'Address without its scheme, and the suite' },
    source: { type: 'TEXT', about: 'File that configures it' },
    base_uri: { type: 'TEXT', about: 'Address' },
    release: { type: 'TEXT', about: 'Code name of the release' },
    version: { type: 'TEXT', about: 'Version of the release', collate: 'VERSION_DPKG' },
    maintainer: { type: 'TEXT', about: 'Who publishes it (Origin)' },
    components: { type: 'TEXT', about: 'Components the source offers' },
    architectures: { type: 'TEXT', about: 'Architectures the source offers' },
    pid_with_namespace: pidWithNamespace,
  },
  examples: ["SELECT source, base_uri FROM apt_sources WHERE base_uri NOT LIKE '%.debian.org/%'"],
  *read(context) {
    warnOfNamespaces(context)
    const { device } = context
    const isReleaseUsed = (['release', 'version', 'maintainer', 'components', 'architectures'] as const).some(
      (column) => context.isUsed(column),
    )
    const downloaded = isReleaseUsed ? (orWarn(context, () => device.names(lists)) ?? []) : []
    const names = orWarn(context, () => device.names(folder)) ?? []
    const paths = (ending: string) => names.filter((name) => name.endsWith(ending)).map((name) => `${folder}/${name}`)
    for (const source of ['/etc/apt/sources.list', ...paths('.list'), ...paths('.sources')]) {
      const text = orWarn(context, () => device.textIfPresent(source)) ?? ''
      for (const { uri, suite } of source.endsWith('.sources') ? parseStanzas(text) : parseLines(text)) {
        const base = uri.replace(/\/+$/, '')
        const address = base.replace(/^[a-z][a-z0-9+.-]*:(?:\/\/)?/i, '')
        const index = listName(address, suite)
        const file = downloaded.find((name) => name === `${index}InRelease` || name === `${index}Release`)
        const release = file === undefined ? undefined : orWarn(context, () => readRelease(device, `${lists}/${file}`))
        yield { name: `${address} ${suite}`, source, base_uri: base, ...release, pid_with_namespace: 0 }
      }
    }
  },
})

interface Source {
  uri: string
  suite: string
}

/** `deb [option=value …] uri suite component …`; brackets may hold blanks. */
function parseLines(text: string): Source[] {
  return text.split('\n').flatMap((line) => {
    const [type, ...words] = line.replace(/#.*/, '').match(/(?:\[[^\]]*\]|[^\s[])+/g) ?? []
    const [uri, suite] = words[0]?.startsWith('[') ? words.slice(1) : words
    return type === 'deb' && uri !== undefined && suite !== undefined && uri.includes(':') ? [{ uri, suite }] : []
  })
}

function parseStanzas(text: string): Source[] {
  return [...parseDeb822(text)].flatMap((stanza) => {
    const words = (field: string) => stanza.get(field)?.split(/\s+/).filter(Boolean) ?? []
    const isOff = /^(?:no|false|without|off|disable|0)$/i.test(stanza.get('enabled') ?? '')
    if (isOff || !words('types').includes('deb')) return []
    return words('uris').flatMap((uri) => words('suites').map((suite) => ({ uri, suite })))
  })
}

/** The start of the name under which APT keeps a source's indexes: its path with _ for /, special characters as %xx. */
function listName(address: string, suite: string): string {
  const path = suite.endsWith('/') ? `${address}/${suite}` : `${address}/dists/${suite}/`
  return path
    .replace(/[\\|{}[\]<>"^~_=!@#$%&*]/g, (character) => `%${character.charCodeAt(0).toString(16)}`)
    .replace(/\//g, '_')
}

function readRelease(device: Device, path: string) {
  const fields = new Map<string, string>()
  for (const line of device.text(path).split('\n')) {
    if (line.startsWith('-----BEGIN PGP SIGNATURE')) break
    const [, name, value] = /^([A-Za-z-]+): *(.*?)\s*$/.exec(line) ?? []
    if (name !== undefined && value !== undefined) fields.set(name, value)
  }
  return {
    release: fields.get('Codename') ?? null,
    version: fields.get('Version') ?? null,
    maintainer: fields.get('Origin') ?? null,
    components: fields.get('Components') ?? null,
    architectures: fields.get('Architectures') ?? null,
  }
}
