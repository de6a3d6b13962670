import { expect, test } from 'vitest'
import type { ProgressLine, ResultLine, StreamLine, TargetView } from '../../protocol/api.ts'
import { printAnswers } from './answers.ts'

const nowMs = new Date(2026, 10, 24, 12, 0).getTime()
const sinceIso = new Date(2026, 10, 24, 10, 2).toISOString()

const answer = (device: string, rows: ResultLine['rows'], extra: Partial<ResultLine> = {}): ResultLine => ({
  ...{ type: 'answer', cursor: '1', host: `${device}.plant-b`, site: 'plant-b', device, status: 'ok' },
  ...{ columns: ['pid', 'name'], rows, part: 0, parts: 1, observedAtMs: 0, receivedAtMs: 0 },
  ...extra,
})
const missing = (device: string, extra: Partial<TargetView> = {}): TargetView => ({
  ...{ site: 'plant-b', device, host: `${device}.plant-b`, state: 'queued', final: false, times: {} },
  ...extra,
})
const progress = (type: ProgressLine['type'], answered: number, waiting: number, who: TargetView[]): ProgressLine => ({
  type,
  status: waiting === 0 ? 'done' : 'open',
  counts: { targets: answered + who.length, answered, failed: who.length - waiting, waiting },
  missing: who,
})

async function print(lines: StreamLine[], { isJson = false, isTTY = false, columns = 200 } = {}) {
  const written = { out: '', err: '' }
  const isComplete = await printAnswers(
    (async function* () {
      yield* lines
    })(),
    isJson,
    {
      out: { write: (text) => (written.out += text) },
      err: { write: (text) => (written.err += text), isTTY, columns },
      now: () => nowMs,
    },
  )
  return { isComplete, ...written }
}

test('rows are drawn as they come, and columns widen for wider ones', async () => {
  const { out, isComplete } = await print([
    answer('a', [[1, 'init']]),
    answer('longer-name', [[20_000, 'x']]),
    progress('end', 2, 0, []),
  ])
  expect(out.split('\n')).toEqual([
    '+-----------+-----+------+',
    '| host      | pid | name |',
    '+-----------+-----+------+',
    '| a.plant-b | 1   | init |',
    '| longer-name.plant-b | 20000 | x    |',
    '+---------------------+-------+------+',
    '',
  ])
  expect(isComplete).toBe(true)
})

test('other columns begin another table', async () => {
  const { out } = await print([
    answer('a', [[1, 'x']]),
    answer('b', [[2]], { columns: ['pid'] }),
    progress('end', 2, 0, []),
  ])
  expect(out.match(/\| host/g)).toHaveLength(2)
})

test('JSON is one line per answer, with rows as objects of text in column order', async () => {
  const { out } = await print([answer('a', [[1, { i: '9007199254740993' }]]), progress('end', 1, 0, [])], {
    isJson: true,
  })
  expect(out).toBe(
    '{"host":"a.plant-b","site":"plant-b","device":"a","status":"ok","part":0,"parts":1,"rows":[{"pid":"1","name":"9007199254740993"}]}\n',
  )
})

test('on a terminal a status line says who is missing, and is gone before rows are drawn', async () => {
  const waiting = missing('press-3', { reason: `link down since ${sinceIso}`, waitingFor: 'link-down' })
  const { err } = await print([progress('progress', 12, 1, [waiting]), progress('end', 13, 0, [])], { isTTY: true })
  expect(err).toMatch(/^12 of 13 answered, missing: press-3 \(site plant-b: link down since 10:02\)\r\u001b\[K/)
  const narrow = await print([progress('progress', 12, 1, [waiting])], { isTTY: true, columns: 20 })
  expect(narrow.err).toBe('12 of 13 answered, \r\u001b[K')
})

test('without a terminal stderr holds only the end, without colour', async () => {
  const { err, isComplete } = await print([
    progress('progress', 0, 1, [missing('a')]),
    progress('end', 0, 0, [missing('a', { state: 'vetoed', final: true, reason: 'night \u001b[2Jshift' })]),
  ])
  expect(err).toBe('0 of 1 answered; missing:\n  a (site plant-b: vetoed: night \\x1B[2Jshift)\n')
  expect(isComplete).toBe(false)
})

test('what was cut off, and what a device warned of, is said', async () => {
  const { err } = await print([
    answer('a', [], { truncated: 'rows', warnings: ['cannot read /root'] }),
    progress('end', 1, 0, []),
  ])
  expect(err).toBe(
    'a.plant-b: cannot read /root\na.plant-b: the answer was cut off at the limit of rows\n1 of 1 answered\n',
  )
})
