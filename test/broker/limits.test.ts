// What one peer may take of the listener: handshakes, connections, a share of the reading.
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterEach, expect, test } from 'vitest'
import { closed, envelope, Plant, publish, snapshot } from './plant.ts'

let plant: Plant
afterEach(() => plant.stop())

test('peers that open connections and say nothing are dropped, and a device gets in meanwhile', async () => {
  plant = await Plant.start({
    broker: { limits: { maxHandshakes: 4, handshakeTimeoutMs: 1500, maxQueuedHandshakes: 40 } },
  })
  const press = await plant.pki.device('press-1')
  const silent = Array.from({ length: 20 }, () => plant.dialTcp('127.0.0.2'))
  const client = await plant.connect(press, 'press-1')
  await publish(client, 'press-1', envelope('press-1', [snapshot(1)]))
  await Promise.all(silent.map((socket) => closed(socket)))
  expect(plant.broker.stats().refused['handshake-timeout']).toBe(20)
})

test('past the limit of connections new ones are refused, and those that are there go on', async () => {
  plant = await Plant.start({ broker: { limits: { maxConnections: 2 } } })
  const first = await plant.connect(await plant.pki.device('press-1'), 'press-1')
  await plant.connect(await plant.pki.device('press-2'), 'press-2')
  const third = plant.dial(await plant.pki.device('press-3'), 'press-3')
  await closed(third)
  await plant.logged('too-many-connections')
  await publish(first, 'press-1', envelope('press-1', [snapshot(1)]))
  await first.endAsync(true)
  while (plant.broker.stats().connections >= 2) await new Promise((resolve) => setTimeout(resolve, 5))
  await plant.connect(await plant.pki.device('press-4'), 'press-4')
})

test('a whole plant that comes back at once gets in, as fast as handshakes are allowed', async () => {
  plant = await Plant.start({ broker: { limits: { handshakesPerSecond: 50, maxHandshakes: 8 } } })
  const names = Array.from({ length: 100 }, (_, index) => `press-${index}`)
  const identities = await Promise.all(names.map((name) => plant.pki.device(name)))
  await Promise.all(
    identities.map(async (identity, index) => {
      const name = names[index] ?? ''
      const client = await plant.connect(identity, name)
      await publish(client, name, envelope(name, [snapshot(1)]))
    }),
  )
  expect(plant.broker.connected().length).toBe(100)
  expect(plant.broker.stats().refused).toEqual({})
})

test('a device over its rate is read more slowly, loses nothing, and is not cut off', async () => {
  plant = await Plant.start({ broker: { limits: { packetsPerSecond: 100, bytesPerSecond: 1_000_000 } } })
  const client = await plant.connect(await plant.pki.device('press-1'), 'press-1')
  await Promise.all(
    Array.from({ length: 400 }, (_, index) => publish(client, 'press-1', envelope('press-1', [snapshot(index + 1)]))),
  )
  expect((await plant.journal.ledger())[0]?.epochs[0]?.received).toEqual([[1, 400]])
  expect(plant.broker.stats().refused).toEqual({})
})

test('when more waits for the disk than memory may hold, reading stops and goes on, and every publish is acknowledged', async () => {
  plant = await Plant.start({ journal: { maxWaitingBytes: 200_000 } })
  const names = Array.from({ length: 8 }, (_, index) => `press-${index}`)
  const text = 'x'.repeat(3000)
  await Promise.all(
    names.map(async (name) => {
      const client = await plant.connect(await plant.pki.device(name), name)
      const publishes = Array.from({ length: 40 }, (_, index) =>
        publish(client, name, envelope(name, [{ ...snapshot(index + 1), columns: ['text'], rows: [[text]] }])),
      )
      await Promise.all(publishes)
    }),
  )
  const ledger = await plant.journal.ledger()
  expect(ledger.map(({ epochs }) => epochs[0]?.received)).toEqual(names.map(() => [[1, 40]]))
})

test('when the disk does not answer, the connection is ended before the device would think us dead, and nothing is lost', async () => {
  plant = await Plant.start({ broker: { limits: { holdMs: 200 } } })
  const press = await plant.pki.device('press-1')
  const client = await plant.connect(press, 'press-1')
  // Another writer holds the database, as a stuck disk would.
  const other = new Database(join(plant.folder, 'journal.db'))
  other.exec('BEGIN IMMEDIATE')
  await expect(publish(client, 'press-1', envelope('press-1', [snapshot(1)]))).rejects.toThrow()
  expect((await plant.logged('storage-stalled')).device).toBe('press-1')
  other.exec('ROLLBACK')
  other.close()
  const again = await plant.connect(press, 'press-1')
  await publish(again, 'press-1', envelope('press-1', [snapshot(1), snapshot(2)]))
  expect((await plant.journal.stats()).lastId).toBe(2)
})
