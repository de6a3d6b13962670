import { expect, test } from 'vitest'
import { SourceError } from '../sources/device.ts'
import { fixtureDevice, readTable } from '../../test/support/read-table.ts'
import { thermalZones } from './thermal_zones.ts'

test('gives degrees, the lowest limit of each kind, and how many cooling devices work', () => {
  expect(readTable(thermalZones, { device: fixtureDevice('rpi4-raspbian') }).rows).toEqual([
    {
      name: 'thermal_zone0',
      type: 'cpu-thermal',
      celsius: 81.798,
      mode: 'enabled',
      policy: 'step_wise',
      passive_celsius: 80,
      hot_celsius: null,
      critical_celsius: 110,
      cooling_active: 1,
    },
    {
      name: 'thermal_zone1',
      type: 'modem',
      celsius: -1.5,
      mode: 'disabled',
      policy: null,
      passive_celsius: null,
      hot_celsius: null,
      critical_celsius: null,
      cooling_active: 0,
    },
  ])
})

test('keeps the row of a sensor that cannot be read, and warns', () => {
  const device = fixtureDevice('rpi4-raspbian')
  const textIfPresent = device.textIfPresent.bind(device)
  device.textIfPresent = (path) => {
    if (path.endsWith('zone1/temp')) throw new SourceError(path, 'ENODATA', undefined)
    return textIfPresent(path)
  }
  const { rows, warnings } = readTable(thermalZones, { device, where: { name: ['thermal_zone1'] } })
  expect(rows).toMatchObject([{ name: 'thermal_zone1', celsius: null }])
  expect(warnings).toEqual(['cannot read /sys/class/thermal/thermal_zone1/temp: ENODATA'])
})
