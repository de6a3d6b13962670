// What a device may count on when nothing is wrong: stored before acknowledged, once each, commands down, presence.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openJournalReader } from '../../gateway/journal/read.ts'
import { join } from 'node:path'
import { compress } from '../../protocol/compression.ts'
import { envelope, epoch, Plant, publish, snapshot, type Identity } from './plant.ts'

let plant: Plant
let press: Identity

beforeAll(async () => {
  plant = await Plant.start()
  press = await plant.pki.device('press-1')
})
afterAll(() => plant.stop())

const reader = () => openJournalReader(join(plant.folder, 'journal.db'))

test('a publish is in the journal when its PUBACK arrives, as JSON and as Brotli, and a repeat is not stored again', async () => {
  const client = await plant.connect(press, 'press-1')
  await publish(client, 'press-1', envelope('press-1', [snapshot(1), snapshot(2)]))
  const journal = reader()
  expect(journal.after(0).map(({ device, seq, name, epoch: of }) => ({ device, seq, name, of }))).toEqual([
    { device: 'press-1', seq: 1, name: 'uptime', of: epoch },
    { device: 'press-1', seq: 2, name: 'uptime', of: epoch },
  ])
  await publish(client, 'press-1', compress('br', envelope('press-1', [snapshot(2), snapshot(3)])), 'up/br')
  expect(journal.after(0).map(({ seq }) => seq)).toEqual([1, 2, 3])
  expect(journal.ledger('press-1')[0]?.epochs[0]).toMatchObject({ received: [[1, 3]], missing: [], lost: [] })
  journal.close()
})
