import { expect, test } from 'vitest'
import { fixtureDevice, readTable } from '../../test/support/read-table.ts'
import { kernelInfo } from './kernel_info.ts'

test('takes the root device out of the boot arguments, and has no path where the firmware names none', () => {
  expect(readTable(kernelInfo, { device: fixtureDevice('rpi4-raspbian') }).rows).toEqual([
    {
      version: '6.1.21-v7l+',
      arguments:
        'coherent_pool=1M 8250.nr_uarts=1 snd_bcm2835.enable_headphones=0 console=ttyS0,115200 console=tty1 rootfstype=ext4 fsck.repair=yes rootwait isolcpus=3',
      path: null,
      device: 'PARTUUID=1d3c2b1a-02',
    },
  ])
})
