// Every table the agent has, in alphabetical order: the one list to extend when a table is added.
import { aptSources } from './apt_sources.ts'
import { arpCache } from './arp_cache.ts'
import { authorizedKeys } from './authorized_keys.ts'
import { cpuTime } from './cpu_time.ts'
import { crontab } from './crontab.ts'
import { debPackages } from './deb_packages.ts'
import { deviceTree } from './device_tree.ts'
import { dnsResolvers } from './dns_resolvers.ts'
import { etcHosts } from './etc_hosts.ts'
import { file } from './file.ts'
import { groups } from './groups.ts'
import { hash } from './hash.ts'
import { interfaceAddresses } from './interface_addresses.ts'
import { interfaceDetails } from './interface_details.ts'
import { kernelInfo } from './kernel_info.ts'
import { kernelModules } from './kernel_modules.ts'
import { knownHosts } from './known_hosts.ts'
import { listeningPorts } from './listening_ports.ts'
import { loadAverage } from './load_average.ts'
import { memoryInfo } from './memory_info.ts'
import { mounts } from './mounts.ts'
import { osVersion } from './os_version.ts'
import { osqueryFlags } from './osquery_flags.ts'
import { osqueryInfo } from './osquery_info.ts'
import { osqueryRegistry } from './osquery_registry.ts'
import { osquerySchedule } from './osquery_schedule.ts'
import { processOpenSockets } from './process_open_sockets.ts'
import { processes } from './processes.ts'
import { routes } from './routes.ts'
import { serialPorts } from './serial_ports.ts'
import { suidBin } from './suid_bin.ts'
import { systemInfo } from './system_info.ts'
import { thermalZones } from './thermal_zones.ts'
import { time } from './time.ts'
import { uptime } from './uptime.ts'
import { userGroups } from './user_groups.ts'
import { users } from './users.ts'
import type { Table } from './define.ts'

export const tables: readonly Table[] = [
  aptSources,
  arpCache,
  authorizedKeys,
  cpuTime,
  crontab,
  debPackages,
  deviceTree,
  dnsResolvers,
  etcHosts,
  file,
  groups,
  hash,
  interfaceAddresses,
  interfaceDetails,
  kernelInfo,
  kernelModules,
  knownHosts,
  listeningPorts,
  loadAverage,
  memoryInfo,
  mounts,
  osVersion,
  osqueryFlags,
  osqueryInfo,
  osqueryRegistry(() => tables),
  osquerySchedule,
  processOpenSockets,
  processes,
  routes,
  serialPorts,
  suidBin,
  systemInfo,
  thermalZones,
  time,
  uptime,
  userGroups,
  users,
]
