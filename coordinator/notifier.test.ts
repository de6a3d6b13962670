import { expect, test } from 'vitest'
import { Notifier } from './notifier.ts'

const never = new AbortController().signal
const long = 3_600_000

test('what happens between listening and waiting is not missed', async () => {
  const notifier = new Notifier()
  const listener = notifier.listen('a')
  notifier.notify('a')
  await listener.wait(long, never)
})

test('a wait ends with its topic, its time or its signal, and with nothing else', async () => {
  const notifier = new Notifier()
  const listener = notifier.listen('a')
  const abort = new AbortController()
  let isOver = false
  const waiting = listener.wait(long, abort.signal).then(() => (isOver = true))
  notifier.notify('b')
  await Promise.resolve()
  expect(isOver).toBe(false)
  notifier.notify('a')
  await waiting
  const second = listener.wait(long, abort.signal)
  abort.abort()
  await second
  await listener.wait(long, abort.signal)
  await notifier.listen('c').wait(0, never)
})

test('after close nothing is kept of a listener', async () => {
  const notifier = new Notifier()
  const first = notifier.listen('a')
  const second = notifier.listen('a')
  first.close()
  notifier.notify('a')
  await second.wait(long, never)
})
