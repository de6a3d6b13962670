import { expect, test } from 'vitest'
import { SourceError } from '../sources/device.ts'
import { fixtureDevice, readTable } from '../../test/support/read-table.ts'
import { serialPorts } from './serial_ports.ts'

const device = fixtureDevice('rpi4-raspbian')

test('lists ports with hardware behind them, and neither consoles nor UARTs that were not found', () => {
  const { rows } = readTable(serialPorts, { device })
  expect(rows.map((row) => row['name'])).toEqual(['ttyACM0', 'ttyAMA0', 'ttyUSB0'])
})

test('finds the driver and the counters of a built-in UART', () => {
  expect(readTable(serialPorts, { device, where: { name: ['ttyAMA0'] } }).rows).toEqual([
    {
      name: 'ttyAMA0',
      path: '/dev/ttyAMA0',
      by_id: null,
      driver: 'uart-pl011',
      irq: 36,
      address: '0xFE201000',
      clock_hz: 48000000,
      tx: 218773,
      rx: 901254,
      frame_errors: 3,
      parity_errors: 1,
      breaks: 2,
      overruns: 17,
      vendor: null,
      vendor_id: null,
      model: null,
      model_id: null,
      serial: null,
      holders: 0,
      pid: null,
    },
  ])
})

test('tells a USB adapter by its own numbers and shows who shares it', () => {
  expect(readTable(serialPorts, { device, where: { name: ['ttyUSB0'] } }).rows).toEqual([
    {
      name: 'ttyUSB0',
      path: '/dev/ttyUSB0',
      by_id: '/dev/serial/by-id/usb-FTDI_USB-RS485_Cable_FT4ZABCD-if00-port0',
      driver: 'ftdi_sio',
      irq: null,
      address: null,
      clock_hz: null,
      tx: null,
      rx: null,
      frame_errors: null,
      parity_errors: null,
      breaks: null,
      overruns: null,
      vendor: 'FTDI',
      vendor_id: '0403',
      model: 'USB-RS485 Cable',
      model_id: '6001',
      serial: 'FT4ZABCD',
      holders: 2,
      pid: 88,
    },
  ])
})

test('looks into no process and no counter that was not asked for, and warns when it may not', () => {
  const guarded = fixtureDevice('rpi4-raspbian')
  const names = guarded.names.bind(guarded)
  guarded.names = (path) => {
    if (path === '/proc/tty/driver' || path.endsWith('/fd')) throw new SourceError(path, 'EACCES', undefined)
    return names(path)
  }
  expect(readTable(serialPorts, { device: guarded, used: ['name', 'driver'] }).warnings).toEqual([])
  const { rows, warnings } = readTable(serialPorts, { device: guarded })
  expect(rows.map((row) => row['tx'])).toEqual([null, null, null])
  expect(warnings).toEqual([
    'cannot read /proc/tty/driver: permission denied (root may be allowed to)',
    'holders, pid: 2 processes could not be looked into (run as root to see all)',
  ])
})
