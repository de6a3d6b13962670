// The running kernel, from /proc/version, and how it was started, from /proc/cmdline. A Raspberry Pi's firmware passes
// no BOOT_IMAGE: path is NULL there.
import { defineTable } from './define.ts'

export const kernelInfo = defineTable({
  name: 'kernel_info',
  about: 'The running kernel and the arguments it was booted with.',
  origin: 'osquery',
  cacheable: true,
  columns: {
    version: { type: 'TEXT', about: 'Release, as uname -r prints it', collate: 'VERSION' },
    arguments: { type: 'TEXT', about: 'Boot arguments, without those that are path and device' },
    path: { type: 'TEXT', about: 'Kernel file that the boot loader named' },
    device: { type: 'TEXT', about: 'Root device, as the boot arguments name it' },
  },
  examples: ["SELECT version FROM kernel_info WHERE arguments LIKE '%isolcpus=%'"],
  *read({ device }) {
    const words = device.text('/proc/cmdline').split(/\s+/).filter(Boolean)
    const valueOf = (prefix: string) => words.findLast((word) => word.startsWith(prefix))?.slice(prefix.length) ?? null
    yield {
      version: /^\S+ version (\S+)/.exec(device.text('/proc/version'))?.[1] ?? null,
      arguments: words.filter((word) => !/^(?:BOOT_IMAGE|root)=/.test(word)).join(' '),
      path: valueOf('BOOT_IMAGE='),
      device: valueOf('root='),
    }
  },
})
