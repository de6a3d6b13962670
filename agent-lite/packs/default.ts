// What runs when agent.yaml names neither a schedule nor packs: a light inventory that changes seldom.
import type { z } from 'zod'
import type { Pack } from './pack-schema.ts'

const hour = 3600
const day = 24 * hour

export const defaultPackName = 'inventory'

export const defaultPack: z.input<typeof Pack> = {
  description: 'What this machine is and what runs on it.',
  queries: {
    os_version: { query: 'SELECT * FROM os_version', interval: day },
    system_info: { query: 'SELECT * FROM system_info', interval: day },
    uptime: { query: 'SELECT * FROM uptime', interval: hour, snapshot: true },
    listening_ports: {
      query:
        'SELECT DISTINCT p.name, p.path, l.protocol, l.address, l.port FROM listening_ports l LEFT JOIN processes p USING (pid) WHERE l.port > 0',
      interval: 900,
      description: 'Without process ids: a restart of a service is no change.',
    },
    users: { query: 'SELECT * FROM users', interval: hour },
    deb_packages: { query: 'SELECT name, version, arch, status FROM deb_packages', interval: 6 * hour },
    mounts: { query: 'SELECT device, path, type, flags FROM mounts', interval: hour },
  },
}
