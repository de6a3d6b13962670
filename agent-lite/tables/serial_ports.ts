// Serial ports with hardware behind them, from /sys/class/tty; consoles, pseudo terminals and UARTs that were configured
// but not found (type 0) are not rows. Counters are in /proc/tty/driver, which only root may read, and only drivers
// built on the kernel's serial core keep them: USB adapters have none. RS-485 mode needs an ioctl, so it is not here.
import { posix } from 'node:path'
import { type Device, SourceError } from '../sources/device.ts'
import { integer } from '../sources/integer.ts'
import { linkName } from '../sources/links.ts'
import { orWarn } from '../sources/or-warn.ts'
import { defineTable } from './define.ts'

const folder = '/sys/class/tty'
const counters = ['tx', 'rx', 'frame_errors', 'parity_errors', 'breaks', 'overruns'] as const

export const serialPorts = defineTable({
  name: 'serial_ports',
  about: 'Serial ports, what they are attached to, what went over them, and who has them open.',
  origin: 'tidegate',
  columns: {
    name: { type: 'TEXT', about: 'Such as ttyUSB0', index: true },
    path: { type: 'TEXT', about: 'Device file' },
    by_id: { type: 'TEXT', about: 'Device file that stays the same when adapters are plugged elsewhere' },
    driver: { type: 'TEXT', about: 'Kernel driver, such as uart-pl011 or ftdi_sio' },
    irq: { type: 'INTEGER', about: 'Interrupt; NULL for USB adapters' },
    address: { type: 'TEXT', about: 'I/O port or memory address of the UART; NULL for USB adapters' },
    clock_hz: { type: 'BIGINT', about: "UART's clock; a sixteenth of it is the highest usual baud rate" },
    tx: { type: 'BIGINT', about: 'Bytes sent since boot' },
    rx: { type: 'BIGINT', about: 'Bytes received since boot' },
    frame_errors: { type: 'BIGINT', about: 'Bytes without a proper stop bit: wrong baud rate, bad line' },
    parity_errors: { type: 'BIGINT', about: 'Bytes of wrong parity' },
    breaks: { type: 'BIGINT', about: 'Break conditions received' },
    overruns: { type: 'BIGINT', about: 'Times that bytes were lost because none took them in time' },
    vendor: { type: 'TEXT', about: 'Maker of the USB adapter' },
    vendor_id: { type: 'TEXT', about: 'USB vendor id, four hexadecimal digits' },
    model: { type: 'TEXT', about: 'Model of the USB adapter' },
    model_id: { type: 'TEXT', about: 'USB product id, four hexadecimal digits' },
    serial: { type: 'TEXT', about: 'Serial number of the USB adapter' },
    holders: { type: 'INTEGER', about: 'Processes that have it open; more than one is usually a mistake' },
    pid: { type: 'BIGINT', about: 'Process that has it open, the lowest of several; NULL when none has' },
  },
  examples: [
    'SELECT s.path, s.model, p.name FROM serial_ports s LEFT JOIN processes p USING (pid)',
    'SELECT name, overruns, frame_errors FROM serial_ports WHERE overruns + frame_errors > 0',
  ],
  *read(context) {
    const { device } = context
    const asked = context.equals('name')
    const isAnyUsed = (...columns: Parameters<typeof context.isUsed>[0][]) => columns.some((one) => context.isUsed(one))
    const stableNames = context.isUsed('by_id') ? orWarn(context, () => readStableNames(device)) : undefined
    const counts = isAnyUsed(...counters) ? readCounters(context) : undefined
    const pids = isAnyUsed('holders', 'pid') ? readHolders(context) : undefined
    for (const name of device.names(folder)) {
      if (asked.length > 0 && !asked.includes(name)) continue
      const port = `${folder}/${name}`
      const text = (attribute: string) => orWarn(context, () => device.textIfPresent(`${port}/${attribute}`))?.trim()
      if (device.lstat(`${port}/device`) === undefined || text('type') === '0') continue
      const path = `/dev/${name}`
      const count = (label: string) => countOf(counts?.get(name), label)
      const parents = parentsOf(device, port)
      const usb = parents.find((parent) => device.lstat(`${parent}/idVendor`) !== undefined)
      const usbText = (attribute: string) =>
        (usb !== undefined && device.textIfPresent(`${usb}/${attribute}`)?.trim()) || null
      const addresses = context.isUsed('address') ? [text('port'), text('iomem_base')] : []
      const holders = pids?.get(path)
      yield {
        name,
        path,
        by_id: stableNames?.get(name) ?? null,
        driver: driverOf(device, parents),
        irq: context.isUsed('irq') ? integer(text('irq')) : null,
        address: addresses.find((each) => each !== undefined && !/^0x0+$/i.test(each)) ?? null,
        clock_hz: context.isUsed('clock_hz') ? integer(text('uartclk')) : null,
        tx: count('tx'),
        rx: count('rx'),
        frame_errors: count('fe'),
        parity_errors: count('pe'),
        breaks: count('brk'),
        overruns: count('oe'),
        vendor: usbText('manufacturer'),
        vendor_id: usbText('idVendor'),
        model: usbText('product'),
        model_id: usbText('idProduct'),
        serial: usbText('serial'),
        holders: pids ? (holders?.length ?? 0) : null,
        pid: holders ? Math.min(...holders) : null,
      }
    }
  },
})

/** Folders of the devices that a port sits on, nearest first: /sys/class/tty/x is a link into /sys/devices. */
function parentsOf(device: Device, port: string): string[] {
  const parents: string[] = []
  let at = posix.resolve(folder, device.linkTarget(port) ?? '')
  while (at.startsWith('/sys/devices/')) {
    at = posix.dirname(at)
    parents.push(at)
  }
  return parents
}

/** Since Linux 6.5 a UART has two devices of the serial core below it, whose drivers say nothing of the hardware. */
function driverOf(device: Device, parents: string[]): string | null {
  for (const parent of parents) {
    const target = device.linkTarget(`${parent}/driver`)
    if (target !== undefined && !target.includes('/serial-base/')) return posix.basename(target)
  }
  return null
}

function readStableNames(device: Device): Map<string, string> {
  const byId = '/dev/serial/by-id'
  return new Map(device.names(byId).map((name) => [linkName(device, `${byId}/${name}`) ?? '', `${byId}/${name}`]))
}

/** Lines of /proc/tty/driver/* by port: `0: uart:16550A port:000003F8 irq:4 tx:218 rx:12 fe:3 …`. */
function readCounters(context: { device: Device; warn(message: string): void }): Map<string, string> {
  const { device } = context
  const lines = new Map<string, string>()
  const drivers = orWarn(context, () => device.names('/proc/tty/driver')) ?? []
  for (const line of (device.textIfPresent('/proc/tty/drivers') ?? '').split('\n')) {
    const [driver = '', prefix = ''] = line.split(/\s+/)
    if (!drivers.includes(driver)) continue
    for (const entry of (orWarn(context, () => device.textIfPresent(`/proc/tty/driver/${driver}`)) ?? '').split('\n')) {
      const [, number, rest] = /^(\d+): (.*)$/.exec(entry) ?? []
      if (number !== undefined && rest !== undefined) lines.set(`${posix.basename(prefix)}${number}`, rest)
    }
  }
  return lines
}

/** The serial core prints an error count only once there is an error, and no counts at all for other drivers' ports. */
function countOf(line: string | undefined, label: string): number | bigint | null {
  if (line === undefined || !/ tx:\d/.test(line)) return null
  return integer(new RegExp(` ${label}:(\\d+)`).exec(line)?.[1] ?? '0')
}

/** Processes by the device file they have open. A process that ends meanwhile is passed over. */
function readHolders(context: {
  device: Device
  warn(message: string): void
  checkpoint(): void
}): Map<string, number[]> {
  const { device } = context
  const holders = new Map<string, number[]>()
  let refused = 0
  for (const pid of device.names('/proc').filter((name) => /^\d+$/.test(name))) {
    context.checkpoint()
    const open = new Set<string>()
    try {
      for (const fd of device.names(`/proc/${pid}/fd`)) open.add(device.linkTarget(`/proc/${pid}/fd/${fd}`) ?? '')
    } catch (error) {
      if (!(error instanceof SourceError)) throw error
      refused++
    }
    for (const path of open)
      if (path.startsWith('/dev/')) holders.set(path, [...(holders.get(path) ?? []), Number(pid)])
  }
  if (refused > 0) context.warn(`holders, pid: ${refused} processes could not be looked into (run as root to see all)`)
  return holders
}
