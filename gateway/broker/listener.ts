// The TLS listener for devices. TCP connections wait in a bounded queue, from which handshakes are started at a bounded
// rate: a handshake costs a millisecond of the event loop, and after a power cut a whole plant comes back at once.
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { constants } from 'node:crypto'
import { createServer as createTlsServer, type Server as TlsServer, type TLSSocket } from 'node:tls'
import { AppError } from '../../lib/errors.ts'
import { DeviceRefusal } from './reasons.ts'
import { handshakeRefusal } from './tls-errors.ts'
import { TokenBucket } from './token-bucket.ts'

export interface ListenerLimits {
  maxConnections: number
  /** Handshakes under way at a time; a quarter of it for one address, so that one silent peer leaves room. */
  maxHandshakes: number
  handshakesPerSecond: number
  maxQueuedHandshakes: number
  /** From the TCP connection to the end of the handshake, in the queue or out of it. */
  handshakeTimeoutMs: number
}

export interface ListenerOptions {
  host: string
  port: number
  cert: string
  key: string
  /** Site CA and root, PEM. */
  ca: string
  limits: ListenerLimits
  /** A peer with a certificate that verifies. */
  onPeer(socket: TLSSocket): void
  onRefused(refusal: DeviceRefusal, remote: string): void
  onError(error: Error): void
}

export interface Listener {
  readonly port: number
  /** TCP connections, in whatever state. */
  readonly connections: number
  readonly handshaking: number
  /** Stops listening and drops what waits; connections that were handed over stay. */
  close(): Promise<void>
}

interface Queued {
  socket: Socket
  sinceMs: number
}

/** Throws AppError LISTEN_FAILED or TLS_FILES_UNUSABLE. */
export async function startListener(options: ListenerOptions): Promise<Listener> {
  const { limits, onRefused } = options
  const queue: Queued[] = []
  /** Half-open handshakes: remote end, so that both sides of the hand-over find it. */
  const handshaking = new Map<string, string>()
  const rate = new TokenBucket(limits.handshakesPerSecond, limits.handshakesPerSecond)
  const perAddress = Math.max(1, Math.floor(limits.maxHandshakes / 4))
  let connections = 0
  let timer: NodeJS.Timeout | undefined

  let tls: TlsServer
  try {
    tls = createTlsServer({
      cert: options.cert,
      key: options.key,
      ca: options.ca,
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: 'TLSv1.2',
      handshakeTimeout: limits.handshakeTimeoutMs,
      // No resumption: every connection shows its certificate, and every certificate is checked again.
      secureOptions: constants.SSL_OP_NO_TICKET,
    })
  } catch (error) {
    throw new AppError(
      'TLS_FILES_UNUSABLE',
      `cannot use the gateway's certificate files: ${(error as Error).message}`,
      {
        exit: 'certificate',
        hint: 'tidegate certs inspect shows what is wrong with each of them',
        cause: error,
      },
    )
  }
  tls.on('secureConnection', (socket) => {
    finished(remoteOf(socket))
    options.onPeer(socket)
  })
  tls.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
    // Node has forgotten the address of a TLS socket it destroyed, but not that of the TCP socket under it.
    const remote = remoteOf((socket as { _parent?: Socket })._parent ?? socket)
    // After a timeout Node reports, but leaves the connection open.
    socket.destroy()
    finished(remote)
    onRefused(handshakeRefusal(error, socket), remote)
  })

  const server = createServer({ pauseOnConnect: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 })
  server.on('connection', (socket) => {
    const remote = remoteOf(socket)
    socket.on('error', () => socket.destroy())
    if (connections >= limits.maxConnections || queue.length >= limits.maxQueuedHandshakes) {
      const reason = connections >= limits.maxConnections ? 'too-many-connections' : 'handshake-queue-full'
      socket.destroy()
      onRefused(new DeviceRefusal(reason), remote)
      return
    }
    connections++
    socket.once('close', () => {
      connections--
      finished(remote)
    })
    queue.push({ socket, sinceMs: performance.now() })
    startWaiting()
  })
  server.on('error', options.onError)

  /** Starts as many handshakes as the limits allow, oldest first. */
  function startWaiting(): void {
    clearTimeout(timer)
    dropTimedOut()
    while (queue.length > 0 && handshaking.size < limits.maxHandshakes) {
      const waitMs = rate.waitMs(1)
      if (waitMs > 0) {
        timer = setTimeout(startWaiting, waitMs)
        return
      }
      const index = queue.findIndex(({ socket }) => hasRoomFor(socket.remoteAddress))
      if (index < 0) return
      const [next] = queue.splice(index, 1)
      if (next === undefined || next.socket.destroyed) continue
      rate.take(1)
      handshaking.set(remoteOf(next.socket), next.socket.remoteAddress ?? '')
      tls.emit('connection', next.socket)
    }
  }

  function dropTimedOut(): void {
    const oldestMs = performance.now() - limits.handshakeTimeoutMs
    while (queue[0] !== undefined && queue[0].sinceMs < oldestMs) {
      const socket = queue.shift()?.socket
      if (socket === undefined || socket.destroyed) continue
      const remote = remoteOf(socket)
      socket.destroy()
      onRefused(new DeviceRefusal('handshake-timeout', 'waited too long for its turn'), remote)
    }
  }

  function hasRoomFor(address: string | undefined): boolean {
    let count = 0
    for (const other of handshaking.values()) if (other === address) count++
    return count < perAddress
  }

  function finished(remote: string): void {
    if (handshaking.delete(remote) && queue.length > 0) startWaiting()
  }

  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        new AppError('LISTEN_FAILED', `cannot listen on ${options.host}:${options.port}: ${error.code ?? ''}`, {
          exit: 'peer',
          hint:
            error.code === 'EADDRINUSE' ? 'another program has the port; choose another one' : 'choose another address',
          cause: error,
        }),
      ),
    )
    server.listen(options.port, options.host, 1024, resolve)
  })

  return {
    port: (server.address() as AddressInfo).port,
    get connections() {
      return connections
    },
    get handshaking() {
      return handshaking.size
    },
    close() {
      clearTimeout(timer)
      for (const { socket } of queue.splice(0)) socket.destroy()
      return new Promise((resolve) => void server.close(() => resolve()))
    },
  }
}

function remoteOf(socket: Socket): string {
  return `${socket.remoteAddress ?? '?'}:${socket.remotePort ?? 0}`
}
