// Entry of the engine's worker thread; bundled as tidegate-agent-engine.js.
import { tables } from '../tables/all.ts'
import { serveEngine } from './serve.ts'

await serveEngine(tables)
