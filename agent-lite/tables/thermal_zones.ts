// Temperatures that the kernel watches, from /sys/class/thermal, in degrees Celsius. A sensor that cannot be read just
// now (a modem that is off) is a row without a temperature, and a warning.
import type { Device } from '../sources/device.ts'
import { linkName } from '../sources/links.ts'
import { integer } from '../sources/integer.ts'
import { orWarn } from '../sources/or-warn.ts'
import { defineTable } from './define.ts'

const folder = '/sys/class/thermal'

export const thermalZones = defineTable({
  name: 'thermal_zones',
  about: 'Temperatures that the kernel watches, their limits, and whether it is cooling or slowing the machine.',
  origin: 'tidegate',
  columns: {
    name: { type: 'TEXT', about: 'Such as thermal_zone0', index: true },
    type: { type: 'TEXT', about: 'What is measured, such as cpu-thermal' },
    celsius: { type: 'DOUBLE', about: 'Temperature in °C' },
    mode: { type: 'TEXT', about: 'enabled when the kernel acts on it, or disabled' },
    policy: { type: 'TEXT', about: 'How the kernel acts, such as step_wise' },
    passive_celsius: { type: 'DOUBLE', about: 'Lowest limit from which the machine is slowed, in °C' },
    hot_celsius: { type: 'DOUBLE', about: 'Limit at which the firmware is alarmed, in °C' },
    critical_celsius: { type: 'DOUBLE', about: 'Limit at which the machine is switched off, in °C' },
    cooling_active: { type: 'INTEGER', about: 'Number of its cooling devices at work now: fans, slowed processors' },
  },
  examples: ['SELECT type, celsius FROM thermal_zones WHERE cooling_active > 0 OR celsius > critical_celsius - 10'],
  *read(context) {
    const { device } = context
    const asked = context.equals('name')
    for (const name of device.names(folder)) {
      if (!name.startsWith('thermal_zone') || (asked.length > 0 && !asked.includes(name))) continue
      const zone = `${folder}/${name}`
      const text = (attribute: string) =>
        orWarn(context, () => device.textIfPresent(`${zone}/${attribute}`))?.trim() ?? null
      const attributes = orWarn(context, () => device.names(zone)) ?? []
      const limit = (kind: string) => {
        const limits = attributes
          .filter((attribute) => /^trip_point_\d+_type$/.test(attribute) && text(attribute) === kind)
          .flatMap((attribute) => celsius(text(attribute.replace(/type$/, 'temp'))) ?? [])
        return limits.length === 0 ? null : Math.min(...limits)
      }
      yield {
        name,
        type: text('type'),
        celsius: context.isUsed('celsius') ? celsius(text('temp')) : null,
        mode: text('mode'),
        policy: text('policy'),
        passive_celsius: context.isUsed('passive_celsius') ? limit('passive') : null,
        hot_celsius: context.isUsed('hot_celsius') ? limit('hot') : null,
        critical_celsius: context.isUsed('critical_celsius') ? limit('critical') : null,
        cooling_active: context.isUsed('cooling_active')
          ? (orWarn(context, () => coolingActive(device, zone, attributes)) ?? null)
          : null,
      }
    }
  },
})

function celsius(milli: string | null): number | null {
  const value = integer(milli ?? undefined)
  return value === null ? null : Number(value) / 1000
}

/** One cooling device may be bound to several limits of a zone; it counts once. */
function coolingActive(device: Device, zone: string, attributes: string[]): number {
  const bound = attributes.filter((attribute) => /^cdev\d+$/.test(attribute))
  const names = new Set(bound.map((attribute) => linkName(device, `${zone}/${attribute}`)))
  return [...names].filter((name) => Number(device.textIfPresent(`${folder}/${name ?? ''}/cur_state`)) > 0).length
}
