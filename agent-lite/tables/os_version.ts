// The operating system, from os-release(5). Raspberry Pi OS names itself 'debian' on 64 bit and 'raspbian' on 32 bit.
// As in osquery: numbers that are not given are 0, without any os-release there is still one row, and a redhat-release
// or gentoo-release file overrules.
import { machine } from '../sources/machine.ts'
import { integer } from '../sources/integer.ts'
import { pidWithNamespace, warnOfNamespaces } from '../sources/namespace.ts'
import { defineTable } from './define.ts'

export const osVersion = defineTable({
  name: 'os_version',
  about: 'Name and version of the operating system.',
  origin: 'osquery',
  columns: {
    name: { type: 'TEXT', about: 'Name of the distribution' },
    version: { type: 'TEXT', about: 'Version for people, such as 12 (bookworm)', collate: 'VERSION' },
    major: { type: 'INTEGER', about: 'First number of the version' },
    minor: { type: 'INTEGER', about: 'Second number of the version' },
    patch: { type: 'INTEGER', about: 'Third number of the version' },
    build: { type: 'TEXT', about: 'Build or image id, where the distribution has one' },
    platform: { type: 'TEXT', about: 'Short name of the distribution, such as debian or raspbian' },
    platform_like: { type: 'TEXT', about: 'Distributions it derives from' },
    codename: { type: 'TEXT', about: 'Code name of the release' },
    arch: { type: 'TEXT', about: 'Architecture of the kernel, as uname -m prints it' },
    extra: { type: 'TEXT', hidden: true, foreign: true },
    install_date: { type: 'BIGINT', hidden: true, foreign: true },
    revision: { type: 'INTEGER', hidden: true, foreign: true },
    pid_with_namespace: pidWithNamespace,
    mount_namespace_id: { type: 'TEXT', about: 'Not filled: only the host itself is read', hidden: true },
  },
  examples: ['SELECT name, version, arch FROM os_version'],
  *read(context) {
    warnOfNamespaces(context)
    const { device } = context
    const fields = parse(device.textIfPresent('/etc/os-release') ?? device.textIfPresent('/usr/lib/os-release') ?? '')
    const [major, minor, patch] = (fields.get('VERSION_ID') ?? '').split('.')
    const row = {
      name: fields.get('NAME') ?? 'Unknown',
      version: fields.get('VERSION') ?? null,
      major: number(major),
      minor: number(minor),
      patch: number(patch),
      build: fields.get('BUILD_ID') ?? null,
      platform: fields.get('ID') ?? 'posix',
      platform_like: fields.get('ID_LIKE') ?? null,
      codename: [...fields].findLast(([name]) => name.includes('CODENAME'))?.[1] ?? null,
      arch: machine(device),
      pid_with_namespace: 0,
    }
    yield { ...row, ...olderRelease(device) }
  },
})

function parse(text: string): Map<string, string> {
  const fields = new Map<string, string>()
  for (const line of text.split('\n')) {
    const [, name, value] = /^\s*([A-Z0-9_]+)=(.*?)\s*$/.exec(line) ?? []
    if (name === undefined || value === undefined) continue
    const [, quoted] = /^(?:"(.*)"|'(.*)')$/.exec(value)?.filter((part) => part !== undefined) ?? []
    fields.set(name, (quoted ?? value).replace(/\\(["'\\$`])/g, '$1'))
  }
  return fields
}

function number(text: string | undefined): number | null {
  return text === undefined || text === '' ? 0 : (integer(text) as number | null)
}

function olderRelease(device: Parameters<typeof machine>[0]) {
  const redhat = device.textIfPresent('/etc/redhat-release')
  const content = (redhat ?? device.textIfPresent('/etc/gentoo-release'))?.trim().replace(/\s+/g, ' ')
  if (content === undefined) return {}
  const platform = redhat === undefined ? 'gentoo' : 'rhel'
  const [, name, major, minor, patch] = /([\w+\s]+) .* (\d+)\.(\d+)\.?(\w+)?/.exec(content) ?? []
  return {
    ...(name !== undefined && { name, major: number(major), minor: number(minor), patch: number(patch) }),
    version: content,
    build: '',
    platform,
    platform_like: platform,
  }
}
