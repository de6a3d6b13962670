// Debian packages, from dpkg's status file and the updates that an unfinished dpkg run left beside it, which libdpkg
// reads too. Packages that are not installed but left configuration behind are rows (status says so), as in osquery.
import { integer } from '../sources/integer.ts'
import { type Stanza, parseDeb822 } from '../sources/deb822.ts'
import type { Device } from '../sources/device.ts'
import { pidWithNamespace, warnOfNamespaces } from '../sources/namespace.ts'
import { defineTable } from './define.ts'

const defaultAdmindir = '/var/lib/dpkg'

export const debPackages = defineTable({
  name: 'deb_packages',
  about: 'Debian packages that are installed, or were and left something behind.',
  origin: 'osquery',
  cacheable: true,
  columns: {
    name: { type: 'TEXT', about: 'Name of the package' },
    version: { type: 'TEXT', about: 'Version with epoch and revision', collate: 'VERSION_DPKG' },
    source: { type: 'TEXT', about: 'Source package, where it has another name or version' },
    size: { type: 'BIGINT', about: 'Installed size in KiB' },
    arch: { type: 'TEXT', about: 'Architecture of the package' },
    revision: { type: 'TEXT', about: 'Part of the version after its last hyphen' },
    status: { type: 'TEXT', about: 'What is wanted, any error, and the state: install ok installed' },
    maintainer: { type: 'TEXT', about: 'Maintainer' },
    section: { type: 'TEXT', about: 'Section of the archive' },
    priority: { type: 'TEXT', about: 'Priority; unknown when the package has none' },
    admindir: {
      type: 'TEXT',
      about: `Folder of dpkg's database; ${defaultAdmindir} unless asked for another`,
      additional: true,
      optimized: true,
    },
    pid_with_namespace: pidWithNamespace,
    mount_namespace_id: { type: 'TEXT', about: 'Not filled: only the host itself is read', hidden: true },
  },
  examples: ["SELECT name, version FROM deb_packages WHERE name LIKE 'codesys%'"],
  *read(context) {
    warnOfNamespaces(context)
    const asked = context.equals('admindir')
    for (const admindir of asked.length > 0 ? asked : [defaultAdmindir]) {
      const packages = readPackages(context.device, admindir)
      if (!packages && asked.length > 0) context.warn(`${admindir} is not a folder of dpkg: it has no file status`)
      for (const stanza of packages ?? []) {
        context.checkpoint()
        const version = stanza.get('version') ?? ''
        const hyphen = version.lastIndexOf('-')
        yield {
          name: stanza.get('package') ?? '',
          version,
          source: stanza.get('source') ?? '',
          size: integer(stanza.get('installed-size')),
          arch: stanza.get('architecture') ?? '<none>',
          revision: hyphen === -1 ? '' : version.slice(hyphen + 1),
          status: stanza.get('status') ?? '',
          maintainer: stanza.get('maintainer') ?? '',
          section: stanza.get('section') ?? '',
          priority: stanza.get('priority') ?? 'unknown',
          admindir,
          pid_with_namespace: 0,
        }
      }
    }
  },
})

/** All but those known only by name, sorted by name, then architecture; undefined when there is no database. */
function readPackages(device: Device, admindir: string): Stanza[] | undefined {
  const status = device.textIfPresent(`${admindir}/status`)
  if (status === undefined) return undefined
  const updates = device.names(`${admindir}/updates`).filter((name) => /^\d+$/.test(name))
  const packages = new Map<string, Stanza>()
  for (const text of [status, ...updates.map((name) => device.textIfPresent(`${admindir}/updates/${name}`) ?? '')])
    for (const stanza of parseDeb822(text))
      packages.set(`${stanza.get('package') ?? ''}\0${stanza.get('architecture') ?? ''}`, stanza)
  return [...packages]
    .filter(([, stanza]) => !stanza.get('status')?.endsWith(' not-installed'))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, stanza]) => stanza)
}
