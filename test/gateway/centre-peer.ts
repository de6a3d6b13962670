// The contract's other end for gateway tests: a real HTTPS server with client certificates that takes segments, signs
// receipts and hands out commands as docs/protocol.md says, and that can be told to misbehave.
import { createServer, type Server } from 'node:https'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { readPeerIdentity } from '../../certs/peer.ts'
import { encodeCommand, type CommandInput } from '../../protocol/commands.ts'
import type { SiteId } from '../../protocol/ids.ts'
import { createSigner, loadTrustedKey, type Signer, type TrustedKey } from '../../protocol/jws.ts'
import { encodeReceipt } from '../../protocol/receipts.ts'
import { decodeSegment, type DecodedSegment, type QueryItem, type SegmentItem } from '../../protocol/segments.ts'

/** What happens to the next segments, in order; nothing means: as agreed. */
export type Fault =
  /** The connection ends after this many bytes of the body. */
  | { kind: 'cut'; afterBytes: number }
  /** The segment is committed, but the answer never arrives. */
  | { kind: 'cut-answer' }
  | { kind: 'reply'; status: number; body: unknown }
  /** A receipt for what was not sent. */
  | { kind: 'wrong-receipt' }

export class CentrePeer {
  readonly faults: Fault[] = []
  /** Every segment as it was committed, in order. */
  readonly segments: DecodedSegment[] = []
  /** Raw bodies by segment number, each time it came. */
  readonly arrivals: { n: number; sha256: string | undefined }[] = []
  readonly #pki: string
  readonly #site: SiteId
  readonly #sockets = new Set<Socket>()
  readonly #commands: { n: number; jws: string }[] = []
  #signer!: Signer
  #siteKey!: TrustedKey
  #server!: Server
  #port = 0
  #waiters: (() => void)[] = []

  private constructor(pki: string, site: SiteId) {
    this.#pki = pki
    this.#site = site
  }

  static async start(pki: string, site: SiteId): Promise<CentrePeer> {
    const peer = new CentrePeer(pki, site)
    const read = (...path: string[]) => readFileSync(join(pki, ...path), 'utf8')
    peer.#signer = await createSigner(read('centre', 'command-signing.key'), read('centre', 'command-signing.pub'))
    peer.#siteKey = await loadTrustedKey(read('sites', site, 'signing.pub'), site)
    await peer.restoreLink()
    return peer
  }

  get url(): string {
    return `https://127.0.0.1:${this.#port}`
  }

  /** Nothing listens, and every connection is gone. */
  async cutLink(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  async restoreLink(): Promise<void> {
    const read = (...path: string[]) => readFileSync(join(this.#pki, ...path))
    this.#server = createServer(
      {
        cert: read('coordinator', 'cert.pem'),
        key: read('coordinator', 'key.pem'),
        ca: read('root', 'ca.pem'),
        requestCert: true,
        rejectUnauthorized: true,
      },
      (request, response) => void this.#handle(request, response),
    )
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
    await new Promise<void>((resolve) => this.#server.listen(this.#port, '127.0.0.1', resolve))
    this.#port = (this.#server.address() as AddressInfo).port
  }

  /** Signs a command of the centre and queues it. */
  async command(input: Partial<CommandInput> & Pick<CommandInput, 'id' | 'kind'>): Promise<void> {
    const nowMs = Date.now()
    const jws = await encodeCommand(
      {
        v: 1,
        authority: 'centre',
        issuedAtMs: nowMs,
        notBeforeMs: nowMs - 1000,
        notAfterMs: nowMs + 600_000,
        target: { site: this.#site, devices: '*' },
        ...input,
      } as CommandInput,
      this.#signer,
    )
    this.commandAsIs(jws)
  }

  commandAsIs(jws: string): void {
    this.#commands.push({ n: this.#commands.length + 1, jws })
    this.#changed()
  }

  /** As a database restored from a backup: the last segments were never here. */
  forgetAfter(n: number): void {
    this.segments.splice(n)
  }

  get items(): SegmentItem[] {
    return this.segments.flatMap((segment) => segment.items)
  }

  /** How often each record came, by device, epoch and seq. */
  recordCounts(): Map<string, number> {
    const counts = new Map<string, number>()
    for (const item of this.items) {
      if (item.t !== 'record') continue
      const key = `${item.device} ${item.epoch} ${item.record.seq}`
      counts.set(key, (counts.get(key) ?? 0) + 1)
    }
    return counts
  }

  /** States of a query as they were reported, in order, `*` for the site as a whole. */
  story(queryId: string): string[] {
    return this.items
      .filter((item): item is QueryItem => item.t === 'query' && item.queryId === queryId)
      .map(({ device, state }) => `${device ?? '*'} ${state}`)
  }

  /** Resolves once the condition holds; it is looked at whenever something has arrived. */
  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await new Promise<void>((resolve) => this.#waiters.push(resolve))
  }

  async stop(): Promise<void> {
    this.#changed()
    await this.cutLink()
  }

  #changed(): void {
    for (const resume of this.#waiters.splice(0)) resume()
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.url)
    const send = (status: number, body: unknown) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    const peer = readPeerIdentity(request.socket as TLSSocket)
    const [, v1, sites, site, what, n] = url.pathname.split('/')
    if (v1 !== 'v1' || sites !== 'sites' || site !== this.#site || peer.role !== 'gateway' || peer.id !== site) {
      return void send(403, { error: { code: 'wrong-site', message: `${peer.role} ${peer.id} at ${url.pathname}` } })
    }
    if (request.method === 'POST' && what === 'segments') return this.#segment(Number(n), request, send)
    if (what === 'commands') return this.#poll(url, response, send)
    const last = this.segments.at(-1)
    if (what !== 'receipt' || last === undefined) return void send(404, { error: { code: 'CHAIN_UNKNOWN' } })
    send(200, { receipt: await this.#receipt(last, last.sha256) })
  }

  async #segment(n: number, request: IncomingMessage, send: (status: number, body: unknown) => void): Promise<void> {
    const fault = this.faults.shift()
    const chunks: Buffer[] = []
    let bytes = 0
    for await (const chunk of request as AsyncIterable<Buffer>) {
      chunks.push(chunk)
      bytes += chunk.byteLength
      if (fault?.kind === 'cut' && bytes >= fault.afterBytes) {
        this.arrivals.push({ n, sha256: undefined })
        request.socket.destroy()
        return this.#changed()
      }
    }
    const segment = await decodeSegment(Buffer.concat(chunks), this.#site, [this.#siteKey])
    this.arrivals.push({ n, sha256: segment.sha256 })
    if (fault?.kind === 'reply') send(fault.status, fault.body)
    else await this.#commit(n, segment, fault, request.socket, send)
    this.#changed()
  }

  async #commit(
    n: number,
    segment: DecodedSegment,
    fault: Fault | undefined,
    socket: Socket,
    send: (status: number, body: unknown) => void,
  ): Promise<void> {
    const last = this.segments.at(-1)
    const isRepeat = this.segments[n - 1]?.sha256 === segment.sha256
    if (!isRepeat && (n !== this.segments.length + 1 || segment.header.prev !== (last?.sha256 ?? null))) {
      const { chain } = segment.header
      return send(409, { error: { code: 'SEGMENT_OUT_OF_ORDER', expected: this.segments.length + 1, chain } })
    }
    if (!isRepeat) this.segments.push(segment)
    if (fault?.kind === 'cut-answer') return void socket.destroy()
    const sha256 = fault?.kind === 'wrong-receipt' ? '0'.repeat(64) : segment.sha256
    send(200, { receipt: await this.#receipt(segment, sha256) })
  }

  #receipt({ header }: DecodedSegment, sha256: string): Promise<string> {
    const { site, chain, n } = header
    return encodeReceipt({ site, chain, upTo: n, sha256, atMs: Date.now() }, this.#signer)
  }

  async #poll(url: URL, response: ServerResponse, send: (status: number, body: unknown) => void): Promise<void> {
    const after = Number(url.searchParams.get('after'))
    const waitMs = Number(url.searchParams.get('waitMs'))
    const endMs = Date.now() + waitMs
    const wake = () => this.#changed()
    const deadline = setTimeout(wake, waitMs)
    response.once('close', wake)
    const fresh = () => this.#commands.filter(({ n }) => n > after)
    while (fresh().length === 0 && Date.now() < endMs && !response.destroyed) {
      await new Promise<void>((resolve) => this.#waiters.push(resolve))
    }
    clearTimeout(deadline)
    if (!response.destroyed) send(200, { commands: fresh(), upTo: fresh().at(-1)?.n ?? after })
  }
}
