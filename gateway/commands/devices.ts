// tidegate-gateway devices: who is connected, who has been.
import type { Command } from 'commander'
import { AdminClient } from '../admin/client.ts'
import type { DeviceRow } from '../admin/server.ts'
import { adminCommand, type CommonFlags } from './options.ts'
import { ago, printJson, printTable } from './output.ts'

export function devicesCommand(): Command {
  return adminCommand('devices', 'Every device that was ever connected, and whether it is now.').action(
    async ({ config, json }: CommonFlags) => {
      const { devices } = await new AdminClient(config).get<{ devices: DeviceRow[] }>('/v1/devices')
      if (json) return printJson(devices)
      const rows = devices.map(({ device, state, sinceMs, firstSeenMs }) => ({
        device,
        state,
        since: ago(sinceMs),
        'first seen': ago(firstSeenMs),
      }))
      return printTable(rows, 'no device has connected yet')
    },
  )
}
