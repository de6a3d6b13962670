// The link to headquarters, as a TCP proxy that can be cut like a cable, made slow, and counts what crosses it.
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { Transform, type TransformCallback } from 'node:stream'
import { setTimeout } from 'node:timers/promises'

export class Link {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #targetPort: number
  #isUp = true
  #bytesPerSecond = Infinity
  /** Bytes from the site to the centre since the link was made. */
  upBytes = 0

  private constructor(targetPort: number) {
    this.#targetPort = targetPort
    this.#server = createServer((site) => this.#join(site))
  }

  /** Listens on a free loopback port and passes everything to `targetPort`. */
  static async open(targetPort: number): Promise<Link> {
    const link = new Link(targetPort)
    await new Promise<void>((resolve) => link.#server.listen(0, '127.0.0.1', resolve))
    return link
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** Ends every connection at once and lets no new one through. */
  cut(): void {
    this.#isUp = false
    for (const socket of this.#sockets) socket.destroy()
  }

  /** Lets connections through again, those from now on at most as fast as given (site to centre). */
  restore({ bytesPerSecond = Infinity } = {}): void {
    this.#isUp = true
    if (bytesPerSecond !== this.#bytesPerSecond) for (const socket of this.#sockets) socket.destroy()
    this.#bytesPerSecond = bytesPerSecond
  }

  async close(): Promise<void> {
    this.cut()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #throttle(): Transform {
    const bytesPerSecond = this.#bytesPerSecond
    return new Transform({
      highWaterMark: 4096,
      transform(chunk: Buffer, _encoding, done: TransformCallback) {
        if (bytesPerSecond === Infinity) return done(null, chunk)
        void setTimeout((chunk.length / bytesPerSecond) * 1000).then(() => done(null, chunk))
      },
    })
  }

  #join(site: Socket): void {
    if (!this.#isUp) return void site.destroy()
    const centre = connect(this.#targetPort, '127.0.0.1')
    for (const [from, to] of [
      [site, centre],
      [centre, site],
    ] as const) {
      this.#sockets.add(from)
      from.on('error', () => to.destroy())
      from.on('close', () => {
        this.#sockets.delete(from)
        to.destroy()
      })
    }
    centre.pipe(site)
    site.pipe(this.#throttle()).pipe(centre)
    site.on('data', (chunk: Buffer) => (this.upBytes += chunk.length))
  }
}
