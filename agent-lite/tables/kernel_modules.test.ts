import { expect, test } from 'vitest'
import { fixtureDevice, readTable } from '../../test/support/read-table.ts'
import { kernelModules } from './kernel_modules.ts'

test('lists modules with their users, without the comma that the kernel leaves at the end', () => {
  expect(readTable(kernelModules, { device: fixtureDevice('rpi4-raspbian') }).rows).toEqual([
    { name: 'can_raw', size: 20480, used_by: '-', status: 'Live', address: '0x7f2b1000' },
    { name: 'can', size: 24576, used_by: 'can_raw', status: 'Live', address: '0x7f2a5000' },
    { name: 'mcp251x', size: 28672, used_by: '-', status: 'Live', address: '0x7f29a000' },
    { name: 'fixed', size: 16384, used_by: 'brcmfmac,brcmutil', status: 'Unloading', address: '0x7f000000' },
  ])
})

test('has no rows on a kernel without loadable modules', () => {
  expect(readTable(kernelModules, { device: fixtureDevice('empty') })).toEqual({ rows: [], warnings: [] })
})
