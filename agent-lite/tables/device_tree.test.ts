import { expect, test } from 'vitest'
import { fixtureDevice, readTable } from '../../test/support/read-table.ts'
import { deviceTree } from './device_tree.ts'

test('describes a Raspberry Pi', () => {
  expect(readTable(deviceTree, { device: fixtureDevice('rpi4-raspbian') }).rows).toEqual([
    {
      model: 'Raspberry Pi 4 Model B Rev 1.4',
      serial_number: '10000000ab12cd34',
      revision: 'b03114',
      vendor: 'raspberrypi',
      soc: 'brcm,bcm2711',
      compatible: 'raspberrypi,4-model-b brcm,bcm2711',
      bootargs: 'coherent_pool=1M 8250.nr_uarts=1 root=PARTUUID=1d3c2b1a-02 rootwait',
    },
  ])
})

test('has no row on a machine without a device tree', () => {
  expect(readTable(deviceTree, { device: fixtureDevice('empty') })).toEqual({ rows: [], warnings: [] })
})
