import { expect, test } from 'vitest'
import { SiteId } from '../../protocol/ids.ts'
import { linkDownAfterMs, SiteLinks } from './links.ts'

const id = SiteId.parse('plant-a')

test('a link is up while the site calls, and down since its last call when it stops', () => {
  let nowMs = 1000
  const links = new SiteLinks(() => nowMs)
  const link = (lastContactAtMs: number | null = null) => links.linkOf({ id, lastContactAtMs })
  expect(link()).toEqual({ state: 'never' })
  links.opened(id)(true)
  expect(link()).toEqual({ state: 'up', lastContactAtMs: 1000 })
  nowMs += linkDownAfterMs + 1
  expect(link()).toEqual({ state: 'down', sinceMs: 1000, lastContactAtMs: 1000 })
})

test('a connection that breaks off shows at once, unless another one is open', () => {
  let nowMs = 1000
  const links = new SiteLinks(() => nowMs)
  const endPoll = links.opened(id)
  const endSegment = links.opened(id)
  nowMs = 2000
  endSegment(false)
  expect(links.linkOf({ id, lastContactAtMs: null }).state).toBe('up')
  endPoll(false)
  expect(links.linkOf({ id, lastContactAtMs: null })).toMatchObject({ state: 'down', sinceMs: 2000 })
  links.opened(id)
  expect(links.linkOf({ id, lastContactAtMs: null }).state).toBe('up')
})

test('what the store remembers counts after a restart', () => {
  const links = new SiteLinks(() => 100_000)
  expect(links.linkOf({ id, lastContactAtMs: 90_000 })).toEqual({ state: 'up', lastContactAtMs: 90_000 })
  expect(links.linkOf({ id, lastContactAtMs: 5000 })).toMatchObject({ state: 'down', sinceMs: 5000 })
})

test('contacts are written once', async () => {
  const links = new SiteLinks(() => 7)
  const saved: unknown[] = []
  const store = { saveContacts: (contacts: unknown) => Promise.resolve(void saved.push(contacts)) } as never
  links.opened(id)
  await links.save(store)
  await links.save(store)
  expect(saved).toEqual([[{ site: id, atMs: 7 }]])
})
