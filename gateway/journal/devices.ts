// The devices the journal knows, in memory and in the `device` table: their numbers, what each holds of the file, and
// what could not be sequenced or read. As with epochs, changes are written in the transaction that made them.
import type { Database } from '../../lib/sqlite/open.ts'
import type { DeviceId } from '../../protocol/ids.ts'

export interface Device {
  readonly id: number
  /** Of the bodies of its records in the file. */
  bytes: number
  unsequenced: number
  refused: number
}

export class Devices {
  readonly #byName = new Map<DeviceId, Device>()
  readonly #byId = new Map<number, Device>()
  readonly #touched = new Set<Device>()
  #isLoaded = false
  readonly #all
  readonly #insert
  readonly #update

  constructor(database: Database.Database) {
    this.#all = database.prepare<[], Device & { name: DeviceId }>(
      'SELECT id, name, bytes, unsequenced, refused FROM device',
    )
    this.#insert = database.prepare<[string]>('INSERT INTO device (name) VALUES (?)')
    this.#update = database.prepare<[number, number, number, number]>(
      'UPDATE device SET bytes = ?, unsequenced = ?, refused = ? WHERE id = ?',
    )
    this.#load()
  }

  get count(): number {
    return this.#byId.size
  }

  /** The device of this name, made when it is new. Call inside a transaction. */
  get(name: DeviceId): Device {
    this.#load()
    const known = this.#byName.get(name)
    if (known !== undefined) return known
    const id = Number(this.#insert.run(name).lastInsertRowid)
    return this.#remember(name, { id, bytes: 0, unsequenced: 0, refused: 0 })
  }

  change(device: Device, by: { bytes?: number; unsequenced?: number; refused?: number }): void {
    device.bytes += by.bytes ?? 0
    device.unsequenced += by.unsequenced ?? 0
    device.refused += by.refused ?? 0
    this.#touched.add(device)
  }

  /** Bytes of records that were deleted. */
  release(deviceId: number, bytes: number): void {
    this.#load()
    const device = this.#byId.get(deviceId)
    if (device !== undefined) this.change(device, { bytes: -bytes })
  }

  /** Writes what changed. Call inside the transaction, last. */
  write(): void {
    for (const { bytes, unsequenced, refused, id } of this.#touched) this.#update.run(bytes, unsequenced, refused, id)
  }

  committed(): void {
    this.#touched.clear()
  }

  /** The transaction was rolled back: what is on disk counts, and is read again when it is next needed. */
  rolledBack(): void {
    this.#touched.clear()
    this.#isLoaded = false
  }

  #load(): void {
    if (this.#isLoaded) return
    this.#byName.clear()
    this.#byId.clear()
    for (const { name, ...device } of this.#all.all()) this.#remember(name, device)
    this.#isLoaded = true
  }

  #remember(name: DeviceId, device: Device): Device {
    this.#byName.set(name, device)
    this.#byId.set(device.id, device)
    return device
  }
}
