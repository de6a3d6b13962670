// The link to headquarters, as a TCP proxy that can be cut like a cable and counts what crosses it.
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

export class Link {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #targetPort: number
  #isUp = true
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

  restore(): void {
    this.#isUp = true
  }

  async close(): Promise<void> {
    this.cut()
    await new Promise((resolve) => this.#server.close(resolve))
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
      from.pipe(to)
    }
    site.on('data', (chunk: Buffer) => (this.upBytes += chunk.length))
  }
}
