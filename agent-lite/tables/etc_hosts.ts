// Static host names, from /etc/hosts. As in osquery a comment must start a word, and an address without names is a row.
import { pidWithNamespace, warnOfNamespaces } from '../sources/namespace.ts'
import { defineTable } from './define.ts'

export const etcHosts = defineTable({
  name: 'etc_hosts',
  about: 'Line-parsed /etc/hosts.',
  origin: 'osquery',
  aliases: ['hosts'],
  cacheable: true,
  columns: {
    address: { type: 'TEXT', about: 'IP address mapping' },
    hostnames: { type: 'TEXT', about: 'Raw hosts mapping' },
    pid_with_namespace: pidWithNamespace,
  },
  examples: ["SELECT address FROM etc_hosts WHERE hostnames LIKE '%gateway%'"],
  *read(context) {
    warnOfNamespaces(context)
    for (const line of (context.device.textIfPresent('/etc/hosts') ?? '').split('\n')) {
      const words = line.trim().split(/\s+/)
      const [address, ...names] = words
      if (!address || address.startsWith('#')) continue
      const comment = names.findIndex((name) => name.startsWith('#'))
      const hostnames = names.length === 0 ? null : names.slice(0, comment === -1 ? undefined : comment).join(' ')
      yield { address, hostnames, pid_with_namespace: 0 }
    }
  },
})
