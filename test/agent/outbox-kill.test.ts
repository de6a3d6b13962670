// kill -9 at any moment, also while a full outbox drops a file: what was stored is there afterwards or named in a gap,
// and no seq ever stands for two records.
//   TIDEGATE_KILLS   how many kills (20; `npm run test:faults`: 200)
//   TIDEGATE_SEED    replays the moments of an earlier run
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { pino } from 'pino'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Outbox } from '../../agent-lite/outbox/outbox.ts'
import { seededRandom } from '../support/random.ts'

const kills = Number(process.env.TIDEGATE_KILLS ?? 20)
const seed = Number(process.env.TIDEGATE_SEED ?? Math.floor(Math.random() * 2 ** 31))
const writer = fileURLToPath(new URL('outbox-writer.ts', import.meta.url))
let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tg-outbox-kill-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test(
  `every stored record outlives ${kills} kills or is named in a gap (TIDEGATE_SEED=${seed})`,
  { timeout: 60_000 + kills * 5000 },
  async () => {
    const random = seededRandom(seed)
    const diary = join(folder, 'diary')
    const stored = new Set<number>()
    const acknowledged = new Set<number>()
    const gaps: [number, number][] = []
    const sent = new Map<number, string>()
    const reused: number[] = []

    const note = (line: string): void => {
      const [what = '', first = '', ...rest] = line.split(' ')
      const seq = Number(first)
      if (what === 'S') stored.add(seq)
      else if (what === 'A') acknowledged.add(seq)
      else if (what === 'G') gaps.push([seq, Number(rest[0])])
      else {
        const content = rest.join(' ')
        if (sent.has(seq) && sent.get(seq) !== content) reused.push(seq)
        sent.set(seq, content)
      }
    }

    for (let kill = 1; kill <= kills; kill++) {
      const child = spawn(process.execPath, ['--import', 'tsx', writer, join(folder, 'outbox'), diary, String(kill)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      const exited = once(child, 'exit')
      let ticksLeft = 1 + Math.floor(random() * 600)
      child.stdout.on('data', (ticks: Buffer) => {
        ticksLeft -= ticks.byteLength
        if (ticksLeft <= 0) child.kill('SIGKILL')
      })
      expect(await exited).toEqual([null, 'SIGKILL'])
    }

    for (const line of readFileSync(diary, 'utf8').split('\n').slice(0, -1)) note(line)
    const outbox = await Outbox.open(join(folder, 'outbox'), {
      maxBytes: 8 * 16_384,
      fileBytes: 16_384,
      log: pino({ level: 'silent' }),
    })
    for (let lease = await outbox.lease(1e6); lease !== undefined; lease = await outbox.lease(1e6)) {
      for (const record of lease.records) {
        note(`T ${record.seq} ${JSON.stringify(record)}`)
        acknowledged.add(record.seq ?? 0)
        if (record.kind === 'gap') gaps.push([Number(record['from']), Number(record['to'])])
      }
    }
    const { nextSeq } = outbox.state
    await outbox.close()

    const isAccounted = (seq: number) => acknowledged.has(seq) || gaps.some(([from, to]) => seq >= from && seq <= to)
    const unaccounted = Array.from({ length: nextSeq - 1 }, (_, index) => index + 1).filter((seq) => !isAccounted(seq))
    expect(reused, 'seqs that stood for two records').toEqual([])
    expect(unaccounted, 'seqs neither delivered nor named in a gap').toEqual([])
    expect(Math.max(...stored), 'a stored record keeps its seq').toBeLessThan(nextSeq)
    expect(stored.size).toBeGreaterThan(kills)
  },
)
