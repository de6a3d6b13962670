// A real coordinator process with a throwaway PKI, and a gateway's side of the wire made from protocol/ alone.
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import { createRoot, createSite, issueDevice, issueServer } from '../../certs/authority.ts'
import { layoutOf } from '../../certs/layout.ts'
import { programFile } from '../../lib/program-file.ts'
import type { Link, SiteView } from '../../protocol/api.ts'
import { decodeCommand, type Command } from '../../protocol/commands.ts'
import { Epoch, SiteId } from '../../protocol/ids.ts'
import { createSigner, loadTrustedKey } from '../../protocol/jws.ts'
import { decodeReceipt, type Receipt } from '../../protocol/receipts.ts'
import { encodeSegment, type Lane, type SegmentItem } from '../../protocol/segments.ts'

export interface Reply {
  status: number
  headers: Record<string, string | string[] | undefined>
  body: unknown
  text: string
}

export interface TlsFiles {
  cert: string
  key: string
}

export interface Output {
  code: number
  stdout: string
  stderr: string
}

export class Deployment {
  readonly folder = mkdtempSync(join(tmpdir(), 'tidegate-coordinator-'))
  readonly pki = layoutOf(join(this.folder, 'pki'))
  readonly configPath = join(this.folder, 'coordinator.yaml')
  readonly resultLogPath = join(this.folder, 'results', 'results.log')
  token = ''
  sitesPort = 0
  apiPort = 0
  #child: ChildProcess | undefined
  #exit: Promise<number | string> = Promise.resolve(0)
  log: string[] = []

  /** PKI with two sites, the first registered, and a token. */
  static async create(config: Record<string, unknown> = {}, sites: Record<string, unknown> = {}): Promise<Deployment> {
    const made = new Deployment()
    const { pki } = made.pki
    await createRoot({ pki, deployment: 'test' })
    for (const site of ['plant-a', 'plant-b']) {
      await createSite({ pki, site })
      await issueServer({ pki, role: 'gateway', site, dns: ['localhost'] })
    }
    await issueDevice({ pki, site: 'plant-a', device: 'press-1' })
    await issueServer({ pki, role: 'coordinator', dns: ['localhost'], ip: ['127.0.0.1'] })
    const leaf = { cert: join(made.pki.coordinator, 'cert.pem'), key: join(made.pki.coordinator, 'key.pem') }
    writeFileSync(
      made.configPath,
      stringify({
        dataDir: 'data',
        sites: { listen: '127.0.0.1:0', ...leaf, ca: join(made.pki.root, 'ca.pem'), ...sites },
        api: { listen: '127.0.0.1:0', ...leaf },
        signing: {
          key: join(made.pki.centre, 'command-signing.key'),
          pub: join(made.pki.centre, 'command-signing.pub'),
        },
        resultLog: { path: 'results/results.log' },
        ...config,
      }),
    )
    await made.addSite('plant-a')
    made.token = (await made.ok('token', 'create', '--name', 'alice')).trim()
    return made
  }

  async addSite(site: string): Promise<void> {
    await this.ok('site', 'add', site, '--signing-key', join(this.pki.site(site), 'signing.pub'))
  }

  /** Starts the server and waits until it says that it is ready. */
  async start(env: NodeJS.ProcessEnv = {}): Promise<void> {
    const child = spawn(
      process.execPath,
      [fileURLToPath(programFile('tidegate-coordinator.js')), 'run', '--config', this.configPath],
      { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, ...env } },
    )
    this.#child = child
    this.#exit = new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal ?? -1)))
    const lines = createInterface({ input: child.stderr })
    await new Promise<void>((resolve, reject) => {
      void this.#exit.then((code) => reject(new Error(`the coordinator ended with ${code}:\n${this.log.join('\n')}`)))
      lines.on('line', (line) => {
        this.log.push(line)
        if (!line.startsWith('{')) return
        const entry = JSON.parse(line) as { msg?: string; sites?: { port: number }[]; api?: { port: number }[] }
        if (entry.msg !== 'coordinator is ready') return
        this.sitesPort = entry.sites?.[0]?.port ?? 0
        this.apiPort = entry.api?.[0]?.port ?? 0
        resolve()
      })
    })
  }

  /** Ends the server and says how it ended. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | string> {
    this.#child?.kill(signal)
    return this.#exit
  }

  get exited(): Promise<number | string> {
    return this.#exit
  }

  async remove(): Promise<void> {
    if (process.env['DEBUG_LOG']) process.stderr.write(this.log.join('\n'))
    await this.stop('SIGKILL')
    rmSync(this.folder, { recursive: true, force: true })
  }

  /** Runs a command of tidegate-coordinator. */
  command(...args: string[]): Promise<Output> {
    return runProgram('tidegate-coordinator.js', [...args, '--config', this.configPath])
  }

  async ok(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.command(...args)
    if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}: ${stderr}`)
    return stdout
  }

  get environment(): Record<string, string> {
    return {
      TIDEGATE_SERVER: `https://localhost:${this.apiPort}`,
      TIDEGATE_CA: join(this.pki.root, 'ca.pem'),
      TIDEGATE_TOKEN: this.token,
    }
  }

  /** A request to the people's API. */
  api(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Reply> {
    const json = body === undefined ? undefined : Buffer.from(JSON.stringify(body))
    return this.#send(this.apiPort, method, path, json, undefined, {
      authorization: `Bearer ${this.token}`,
      ...(json === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    })
  }

  /** A request to the sites' listener, as the gateway of `site` or with other files. */
  asSite(tls: TlsFiles | undefined, method: string, path: string, body?: Buffer): Promise<Reply> {
    return this.#send(
      this.sitesPort,
      method,
      path,
      body,
      tls,
      body === undefined ? {} : { 'content-type': 'application/octet-stream' },
    )
  }

  #send(
    port: number,
    method: string,
    path: string,
    body: Buffer | undefined,
    tls: TlsFiles | undefined,
    headers: Record<string, string>,
  ): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const outgoing = request(
        {
          host: 'localhost',
          port,
          method,
          path,
          ca: readFileSync(join(this.pki.root, 'ca.pem')),
          ...(tls === undefined ? {} : { cert: readFileSync(tls.cert), key: readFileSync(tls.key) }),
          headers: { ...headers, ...(body === undefined ? {} : { 'content-length': String(body.byteLength) }) },
          agent: false,
        },
        (incoming) => {
          const chunks: Buffer[] = []
          incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
          incoming.on('error', reject)
          incoming.on('end', () => {
            const text = Buffer.concat(chunks).toString()
            const isJson = (incoming.headers['content-type'] ?? '').startsWith('application/json')
            const parsed: unknown = isJson ? JSON.parse(text) : undefined
            resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body: parsed, text })
          })
        },
      )
      outgoing.on('error', reject)
      outgoing.end(body)
    })
  }
}

/** A gateway's store of segments: numbers them, chains them, signs them with its site's key. */
export class FakeGateway {
  readonly site: SiteId
  readonly chain: Epoch
  readonly #deployment: Deployment
  #n = 0
  #prev: string | null = null

  constructor(deployment: Deployment, site = 'plant-a', chain = 'chain-0001') {
    this.#deployment = deployment
    this.site = SiteId.parse(site)
    this.chain = Epoch.parse(chain)
  }

  get tls(): TlsFiles {
    const folder = this.#deployment.pki.gateway(this.site)
    return { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') }
  }

  /** The next segment of the chain. */
  async next(lane: Lane, items: readonly SegmentItem[]): Promise<{ n: number; file: Buffer; sha256: string }> {
    const n = ++this.#n
    const made = await this.make(n, this.#prev, lane, items)
    this.#prev = made.sha256
    return { n, ...made }
  }

  async make(n: number, prev: string | null, lane: Lane, items: readonly SegmentItem[], keyOf: string = this.site) {
    const folder = this.#deployment.pki.site(keyOf)
    const [key, pub] = ['signing.key', 'signing.pub'].map((name) => readFileSync(join(folder, name), 'utf8'))
    const lines = items.map((item) => JSON.stringify(item))
    return encodeSegment(
      { site: this.site, chain: this.chain, n, lane, prev, createdMs: Date.now(), codec: 'br', records: null, lines },
      await createSigner(key ?? '', pub ?? ''),
    )
  }

  post({ n, file }: { n: number; file: Buffer }): Promise<Reply> {
    return this.#deployment.asSite(this.tls, 'POST', `/v1/sites/${this.site}/segments/${n}`, file)
  }

  /** Sends the next segment and returns its verified receipt. */
  async send(lane: Lane, items: readonly SegmentItem[]): Promise<Receipt> {
    const reply = await this.post(await this.next(lane, items))
    if (reply.status !== 200) throw new Error(`${reply.status}: ${reply.text}`)
    return this.receiptOf(reply)
  }

  async receiptOf(reply: Reply): Promise<Receipt> {
    return decodeReceipt((reply.body as { receipt: string }).receipt, this.site, await this.#centreKeys())
  }

  /** Fetches commands after a number and verifies them. */
  async commands(after: number, waitMs = 0): Promise<{ upTo: number; commands: { n: number; command: Command }[] }> {
    const path = `/v1/sites/${this.site}/commands?after=${after}&waitMs=${waitMs}`
    const { body } = await this.#deployment.asSite(this.tls, 'GET', path)
    const { commands, upTo } = body as { commands: { n: number; jws: string }[]; upTo: number }
    const keys = await this.#centreKeys()
    return {
      upTo,
      commands: await Promise.all(commands.map(async ({ n, jws }) => ({ n, command: await decodeCommand(jws, keys) }))),
    }
  }

  /** Begins a long poll and breaks the connection, as a cut link does. */
  async hangUp(): Promise<void> {
    const { upTo } = await this.commands(0)
    const { lastContactAtMs = 0 } = await this.link()
    const outgoing = request({
      host: 'localhost',
      port: this.#deployment.sitesPort,
      path: `/v1/sites/${this.site}/commands?after=${upTo}&waitMs=30000`,
      ca: readFileSync(join(this.#deployment.pki.root, 'ca.pem')),
      cert: readFileSync(this.tls.cert),
      key: readFileSync(this.tls.key),
      agent: false,
    })
    outgoing.on('error', () => undefined)
    outgoing.end()
    await this.#until('the long poll to be open', (link) => (link.lastContactAtMs ?? 0) > lastContactAtMs)
    outgoing.destroy()
    await this.#until('the link to be down', (link) => link.state === 'down')
  }

  /** The link as the coordinator tells it. */
  async link(): Promise<Link> {
    const { sites } = (await this.#deployment.api('GET', '/api/v1/sites')).body as { sites: SiteView[] }
    return sites.find(({ id }) => id === this.site)?.link ?? { state: 'never' }
  }

  async #until(what: string, is: (link: Link) => boolean): Promise<void> {
    await eventually(what, async () => (is(await this.link()) ? true : undefined))
  }

  async #centreKeys() {
    const pem = readFileSync(join(this.#deployment.pki.centre, 'command-signing.pub'), 'utf8')
    return [await loadTrustedKey(pem, 'centre')]
  }
}

/** Runs a program of dist/ to its end. */
export function runProgram(bundle: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Output> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [fileURLToPath(programFile(bundle)), ...args],
      { env: { ...process.env, ...env }, maxBuffer: 64 * 1_048_576 },
      (error, stdout, stderr) => resolve({ code: error === null ? 0 : Number(error.code ?? -1), stdout, stderr }),
    )
  })
}

/** Calls `look` until it returns something; throws when `timeoutMs` have passed. */
export async function eventually<T>(what: string, look: () => Promise<T | undefined> | T | undefined): Promise<T> {
  const deadlineMs = Date.now() + 20_000
  for (;;) {
    const found = await look()
    if (found !== undefined) return found
    if (Date.now() > deadlineMs) throw new Error(`waited in vain for: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}
