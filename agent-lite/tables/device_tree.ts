// The board as its firmware describes it: one row where there is a device tree (ARM, RISC-V), none on a PC.
import { readCpuinfo, readDeviceTree } from '../sources/machine.ts'
import { defineTable } from './define.ts'

export const deviceTree = defineTable({
  name: 'device_tree',
  about: 'The board as its firmware describes it in the device tree. No row on machines without one.',
  origin: 'tidegate',
  columns: {
    model: { type: 'TEXT', about: 'Board with its revision, such as Raspberry Pi 4 Model B Rev 1.4' },
    serial_number: { type: 'TEXT', about: 'Serial number of the board' },
    revision: { type: 'TEXT', about: 'Revision code of a Raspberry Pi in hexadecimal; NULL on other boards' },
    vendor: { type: 'TEXT', about: "Device tree's prefix of the maker, such as raspberrypi" },
    soc: { type: 'TEXT', about: 'System on chip, such as brcm,bcm2711' },
    compatible: { type: 'TEXT', about: 'What the board is compatible with, most specific first, a space between' },
    bootargs: { type: 'TEXT', about: 'Kernel arguments that the firmware passed' },
  },
  examples: ["SELECT model, serial_number FROM device_tree WHERE compatible LIKE '%bcm2711%'"],
  *read({ device }) {
    const tree = readDeviceTree(device)
    if (!tree) return
    const { model, serialNumber, compatible, bootargs } = tree
    yield {
      model,
      serial_number: serialNumber,
      revision: readCpuinfo(device).get('Revision')?.[0] ?? null,
      vendor: compatible[0]?.split(',')[0] ?? null,
      soc: compatible.at(-1) ?? null,
      compatible: compatible.join(' '),
      bootargs,
    }
  },
})
