import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Device } from '../sources/device.ts'
import { fixtureDevice, readTable } from '../../test/support/read-table.ts'
import { systemInfo } from './system_info.ts'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'system-info-'))
})
afterEach(() => rmSync(root, { recursive: true }))

const read = (files: Record<string, string>) => {
  for (const [path, text] of Object.entries({ '/proc/sys/kernel/hostname': 'pc\n', '/proc/meminfo': '', ...files })) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  return readTable(systemInfo, { device: new Device(root), agent: { uuid: 'u' } })
}

test('fills the hardware of a Raspberry Pi from its device tree', () => {
  const { rows } = readTable(systemInfo, { device: fixtureDevice('rpi4-raspbian'), agent: { uuid: 'u' } })
  expect(rows).toEqual([
    {
      hostname: 'press-line-3.plant.example',
      uuid: 'u',
      cpu_type: 'armv7l',
      cpu_subtype: '0',
      cpu_brand: 'ARMv7 Processor rev 3 (v7l)',
      cpu_physical_cores: 4,
      cpu_logical_cores: 4,
      cpu_sockets: null,
      cpu_microcode: null,
      physical_memory: 1888416 * 1024,
      hardware_vendor: 'raspberrypi',
      hardware_model: 'Raspberry Pi 4 Model B Rev 1.4',
      hardware_version: 'b03114',
      hardware_serial: '10000000ab12cd34',
      computer_name: 'press-line-3',
      local_hostname: 'press-line-3.plant.example',
    },
  ])
})

test('counts sockets, cores and threads of a PC and reads its make from DMI', () => {
  const thread = (processor: number, socket: number, core: number) =>
    `processor\t: ${processor}\nmodel\t\t: 167\nmodel name\t: Some CPU\nmicrocode\t: 0x1\nphysical id\t: ${socket}\nsiblings\t: 4\ncore id\t\t: ${core}\n\n`
  const threads = [0, 1].flatMap((socket) => [0, 1, 0, 1].map((core, n) => thread(socket * 4 + n, socket, core)))
  const { rows } = read({
    '/proc/cpuinfo': threads.join(''),
    '/sys/class/dmi/id/sys_vendor': 'ACME \n',
    '/sys/class/dmi/id/product_name': 'Box 1\n',
  })
  expect(rows[0]).toMatchObject({
    cpu_subtype: '167',
    cpu_brand: 'Some CPU',
    cpu_microcode: '0x1',
    cpu_logical_cores: 8,
    cpu_physical_cores: 4,
    cpu_sockets: 2,
    hostname: 'pc',
    hardware_vendor: 'ACME',
    hardware_model: 'Box 1',
    hardware_serial: null,
  })
})

test('swaps model and version of a Lenovo', () => {
  const { rows } = read({
    '/sys/class/dmi/id/sys_vendor': 'LENOVO\n',
    '/sys/class/dmi/id/product_name': '20XW\n',
    '/sys/class/dmi/id/product_version': 'ThinkPad X1\n',
  })
  expect(rows[0]).toMatchObject({ hardware_model: 'ThinkPad X1', hardware_version: '20XW' })
})

test('leaves the hardware blank where neither DMI nor a device tree tells', () => {
  expect(read({}).rows[0]).toMatchObject({ hardware_model: '', hardware_vendor: null, physical_memory: -1 })
})
