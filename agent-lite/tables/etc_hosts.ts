// Static host names, from /etc/hosts.
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
    pid_with_namespace: { type: 'INTEGER', about: 'Pids that contain a namespace', additional: true, hidden: true },
  },
  examples: ["SELECT address FROM etc_hosts WHERE hostnames LIKE '%gateway%'"],
  *read({ device }) {
    for (const line of (device.textIfPresent('/etc/hosts') ?? '').split('\n')) {
      const [address, ...hostnames] = line.replace(/#.*/, '').trim().split(/\s+/)
      if (address && hostnames.length > 0) yield { address, hostnames: hostnames.join(' ') }
    }
  },
})
