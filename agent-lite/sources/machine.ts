// What the kernel calls this machine. /proc/sys/kernel/arch exists since Linux 6.1.
import { machine as uname } from 'node:os'
import type { Device } from './device.ts'

/** As `uname -m`: x86_64, aarch64, armv7l. */
export function machine(device: Device): string {
  return device.textIfPresent('/proc/sys/kernel/arch')?.trim() ?? uname()
}

export function hostname(device: Device): string {
  return device.text('/proc/sys/kernel/hostname').trim()
}

/** `key : value` lines of /proc/cpuinfo; a key that each core repeats has several values. */
export function readCpuinfo(device: Device): Map<string, string[]> {
  const values = new Map<string, string[]>()
  for (const line of (device.textIfPresent('/proc/cpuinfo') ?? '').split('\n')) {
    const [, key, value] = /^([^:]*?)\s*:\s*(.*?)\s*$/.exec(line) ?? []
    if (key === undefined || value === undefined) continue
    const known = values.get(key)
    if (known) known.push(value)
    else values.set(key, [value])
  }
  return values
}

export interface DeviceTree {
  model: string | null
  serialNumber: string | null
  /** Most specific first: `raspberrypi,4-model-b`, `brcm,bcm2711`. */
  compatible: string[]
  bootargs: string | null
}

/** What the firmware says of the board, from /proc/device-tree; undefined where there is none (most PCs). */
export function readDeviceTree(device: Device): DeviceTree | undefined {
  const strings = (property: string) =>
    device
      .textIfPresent(`/proc/device-tree/${property}`)
      ?.split('\0')
      .filter((text) => text !== '')
  const compatible = strings('compatible')
  const model = strings('model')
  if (!compatible && !model) return undefined
  return {
    model: model?.[0] ?? null,
    serialNumber: strings('serial-number')?.[0] ?? null,
    compatible: compatible ?? [],
    bootargs: strings('chosen/bootargs')?.[0] ?? null,
  }
}
