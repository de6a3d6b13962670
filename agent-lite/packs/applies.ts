// Whether a pack or a query is meant for this machine, by osquery's rules (osquery/config/packs.cpp, core/system.cpp).
import { createHash } from 'node:crypto'

export interface Conditions {
  platform?: string | undefined
  version?: string | undefined
  shard?: number | undefined
}

/** The osquery release whose tables ours follow: what a pack's minimum `version` is compared with. */
export const osqueryVersion = '5.22.1'

/** Why it does not apply, in the order in which osquery checks; undefined when it does. */
export function whyNot(conditions: Conditions, hostname: string): string | undefined {
  const { platform, version, shard } = conditions
  if (shard !== undefined && shardOf(hostname) > shard) {
    return `shard ${shard}: ${hostname} is in shard ${shardOf(hostname)}`
  }
  if (platform !== undefined && !includesLinux(platform)) return `platform ${platform}: this is Linux`
  if (version !== undefined && !isAtLeast(osqueryVersion, version)) {
    return `version ${version}: the tables are those of osquery ${osqueryVersion}`
  }
  return undefined
}

/** 0 to 100, the same for a host name at every start. */
export function shardOf(hostname: string): number {
  const [first = 0] = createHash('sha1').update(hostname).digest()
  return Math.floor((first * 100) / 255)
}

function includesLinux(platform: string): boolean {
  if (platform === '' || platform === 'null') return true
  return ['any', 'all', 'linux', 'ubuntu', 'centos', 'posix'].some((name) => platform.includes(name))
}

/** Compares dotted numbers part by part; a part that is missing counts as 0. */
function isAtLeast(version: string, minimum: string): boolean {
  const left = version.split('.').map(Number)
  const right = minimum.split('.').map((part) => Number.parseInt(part, 10) || 0)
  for (let index = 0; index < Math.max(left.length, right.length); index++) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0)
    if (difference !== 0) return difference > 0
  }
  return true
}
