// A Unix socket in the data directory: whoever connects is told the agent's status and cut off; it takes no input. It also
// keeps a second agent off the same outbox: who can connect to it, finds an agent that runs.
import { chmod, unlink } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { AppError } from '../../lib/errors.ts'

/** sun_path holds 108 bytes with its final NUL (unix(7)); older Node versions cut longer ones off silently. */
const pathBytesMax = 107
const answerTimeoutMs = 5000

/** Throws AppError DATA_DIR_TOO_LONG. */
export function socketPath(dataDir: string): string {
  const path = join(dataDir, 'agent.sock')
  if (Buffer.byteLength(path) <= pathBytesMax) return path
  throw new AppError('DATA_DIR_TOO_LONG', `the path of the socket ${path} has more than ${pathBytesMax} bytes`, {
    exit: 'config',
    hint: 'choose a shorter dataDir',
  })
}

/** What the agent behind the socket answers; undefined when none runs. Throws AppError AGENT_SILENT. */
export async function readStatus(dataDir: string): Promise<unknown> {
  const socket = connect(socketPath(dataDir))
  socket.setTimeout(answerTimeoutMs, () => socket.destroy(new Error('no answer')))
  try {
    return JSON.parse(await text(socket)) as unknown
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ECONNREFUSED') return undefined
    throw new AppError('AGENT_SILENT', `cannot talk to the agent through ${socketPath(dataDir)}: ${message}`, {
      exit: 'peer',
      ...(code === 'EACCES' ? { hint: 'run this as the user that the agent runs as, or as root' } : {}),
      cause: error,
    })
  }
}

/** Answers with `status()` until closed. Throws AppError AGENT_RUNNING when another agent has this data directory. */
export async function serveStatus(dataDir: string, status: () => unknown): Promise<Server> {
  const path = socketPath(dataDir)
  if ((await readStatus(dataDir)) !== undefined) {
    throw new AppError('AGENT_RUNNING', `another agent runs with the data directory ${dataDir}`, {
      exit: 'storage',
      hint: 'stop it first; tidegate-agent status shows its pid',
    })
  }
  await unlink(path).catch(() => undefined)
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy())
    socket.setTimeout(answerTimeoutMs, () => socket.destroy())
    socket.end(`${JSON.stringify(status())}\n`)
    socket.resume()
  })
  await new Promise<void>((resolve, reject) => {
    // Also later: that nobody can be told the status is no reason to end.
    server.on('error', reject)
    server.listen(path, resolve)
  })
  await chmod(path, 0o600)
  return server
}
