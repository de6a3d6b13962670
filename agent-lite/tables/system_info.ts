// The machine: name, processor, memory, make. Where osquery leaves a board without SMBIOS (any Raspberry Pi) blank, the
// device tree fills hardware_*, and cpu_brand is whatever name /proc/cpuinfo has: a deliberate deviation.
// The fully qualified name comes from /etc/hosts alone; asking DNS could block for as long as the link is down.
import type { Device } from '../sources/device.ts'
import { integer } from '../sources/integer.ts'
import { hostname, machine, readCpuinfo, readDeviceTree } from '../sources/machine.ts'
import { orWarn } from '../sources/or-warn.ts'
import { defineTable } from './define.ts'

export const systemInfo = defineTable({
  name: 'system_info',
  about: 'What this machine is: names, processor, memory, make and model.',
  origin: 'osquery',
  columns: {
    hostname: { type: 'TEXT', about: 'Host name, with its domain where /etc/hosts has it' },
    uuid: { type: 'TEXT', about: 'Id of the machine, by its firmware or else made once', collate: 'NOCASE' },
    cpu_type: { type: 'TEXT', about: 'Architecture, as uname -m prints it' },
    cpu_subtype: { type: 'TEXT', about: "Processor's model number, 0 where it has none" },
    cpu_brand: { type: 'TEXT', about: "Processor's name" },
    cpu_physical_cores: { type: 'INTEGER', about: 'Cores' },
    cpu_logical_cores: { type: 'INTEGER', about: 'Hardware threads' },
    cpu_sockets: { type: 'INTEGER', about: 'Processors, where /proc/cpuinfo tells' },
    cpu_microcode: { type: 'TEXT', about: 'Version of the microcode' },
    physical_memory: { type: 'BIGINT', about: 'Memory in bytes' },
    hardware_vendor: { type: 'TEXT', about: 'Maker; on boards with a device tree its vendor prefix' },
    hardware_model: { type: 'TEXT', about: 'Model' },
    hardware_version: { type: 'TEXT', about: 'Version; on a Raspberry Pi the revision code' },
    hardware_serial: { type: 'TEXT', about: 'Serial number' },
    board_vendor: { type: 'TEXT', about: 'Maker of the main board' },
    board_model: { type: 'TEXT', about: 'Model of the main board' },
    board_version: { type: 'TEXT', about: 'Version of the main board' },
    board_serial: { type: 'TEXT', about: 'Serial number of the main board' },
    computer_name: { type: 'TEXT', about: 'Host name without domain' },
    local_hostname: { type: 'TEXT', about: 'The same as hostname' },
    emulated_cpu_type: { type: 'TEXT', hidden: true, foreign: true },
  },
  examples: ['SELECT hostname, hardware_model, hardware_serial FROM system_info'],
  *read(context) {
    const { device, agent } = context
    const name = hostname(device)
    const fullName = orWarn(context, () => canonicalName(device, name)) ?? name
    const cpu = readCpuinfo(device)
    const last = (key: string) => cpu.get(key)?.at(-1) ?? null
    const logicalCores = cpu.get('processor')?.length ?? -1
    const siblings = Number(last('siblings') ?? 0)
    const ids = cpu.get('physical id') ?? []
    const cores = new Set(cpu.get('core id')?.map((core, index) => `${ids[index] ?? ''} ${core}`))
    const kilobytes = integer(/^MemTotal:\s+(\d+)/m.exec(device.text('/proc/meminfo'))?.[1])
    yield {
      hostname: fullName,
      uuid: agent.uuid,
      cpu_type: machine(device),
      cpu_subtype: last('model') ?? '0',
      cpu_brand: cpu.get('model name')?.[0] ?? null,
      cpu_physical_cores: cores.size || logicalCores,
      cpu_logical_cores: logicalCores,
      cpu_sockets: siblings > 0 ? Math.floor(logicalCores / siblings) : null,
      cpu_microcode: last('microcode'),
      physical_memory: kilobytes === null ? -1 : Number(kilobytes) * 1024,
      ...hardware(context, cpu),
      computer_name: name,
      local_hostname: fullName,
    }
  },
})

/** The first name of the line of /etc/hosts that has this one: what getaddrinfo calls canonical. */
function canonicalName(device: Device, name: string): string | undefined {
  for (const line of (device.textIfPresent('/etc/hosts') ?? '').split('\n')) {
    const [, ...names] = line.replace(/#.*/, '').trim().split(/\s+/)
    if (names.includes(name)) return names[0]
  }
  return undefined
}

const dmiColumns = {
  hardware_vendor: 'sys_vendor',
  hardware_model: 'product_name',
  hardware_version: 'product_version',
  hardware_serial: 'product_serial',
  board_vendor: 'board_vendor',
  board_model: 'board_name',
  board_version: 'board_version',
  board_serial: 'board_serial',
} as const
type HardwareColumn = keyof typeof dmiColumns

function hardware(
  context: { device: Device; warn(message: string): void; isUsed(column: HardwareColumn): boolean },
  cpu: Map<string, string[]>,
): Partial<Record<HardwareColumn, string | null>> {
  const { device } = context
  if (device.names('/sys/class/dmi/id').length > 0) {
    const read = (column: HardwareColumn) =>
      context.isUsed(column)
        ? orWarn(context, () => device.textIfPresent(`/sys/class/dmi/id/${dmiColumns[column]}`)?.trim())
        : undefined
    const row = Object.fromEntries(
      (Object.keys(dmiColumns) as HardwareColumn[]).map((column) => [column, read(column) ?? null]),
    ) as Record<HardwareColumn, string | null>
    // Lenovo keeps the model in the version and the order number in the model.
    if (device.textIfPresent('/sys/class/dmi/id/sys_vendor')?.trim().toLowerCase() !== 'lenovo') return row
    return { ...row, hardware_model: row.hardware_version, hardware_version: row.hardware_model }
  }
  const tree = orWarn(context, () => readDeviceTree(device))
  return {
    hardware_vendor: tree?.compatible[0]?.split(',')[0] ?? null,
    hardware_model: tree?.model ?? '',
    hardware_version: cpu.get('Revision')?.[0] ?? null,
    hardware_serial: tree?.serialNumber ?? null,
  }
}
