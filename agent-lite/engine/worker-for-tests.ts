// The engine's worker with tables that misbehave. client.test.ts bundles and starts it.
import { defineTable } from '../tables/define.ts'
import { serveEngine } from './serve.ts'

const numbers = defineTable({
  name: 'numbers',
  about: 'for a test',
  origin: 'tidegate',
  columns: { n: { type: 'BIGINT' }, text: { type: 'TEXT' } },
  examples: [],
  *read({ agent, warn }) {
    warn(`agent ${agent.version}`)
    for (let n = 0; n < 2000; n += 1) yield { n, text: `row ${n}` }
  },
})

const stuck = defineTable({
  name: 'stuck',
  about: 'a reader that never yields',
  origin: 'tidegate',
  columns: { n: { type: 'BIGINT' } },
  examples: [],
  read() {
    for (;;);
  },
})

const greedy = defineTable({
  name: 'greedy',
  about: 'a reader that fills the heap',
  origin: 'tidegate',
  columns: { n: { type: 'BIGINT' } },
  examples: [],
  *read() {
    const kept: string[][] = []
    for (let n = 0; ; n += 1) kept.push(Array.from({ length: 1000 }, (_, index) => `${n} ${index}`))
    yield { n: kept.length }
  },
})

const crash = defineTable({
  name: 'crash',
  about: 'a reader that ends its thread',
  origin: 'tidegate',
  columns: { n: { type: 'BIGINT' } },
  examples: [],
  read() {
    process.exit(3)
  },
})

await serveEngine([numbers, stuck, greedy, crash])
