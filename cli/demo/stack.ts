// A whole tidegate on one machine: a throwaway PKI, a coordinator, one site's gateway and its devices, each a process of
// its own with its own identity, and between site and centre a link that can be cut. The demo tells a story with it;
// the system tests try to break it.
import { createServer, type AddressInfo } from 'node:net'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { Agent, fetch } from 'undici'
import { stringify } from 'yaml'
import { createRoot, createSite, issueDevice, issueServer } from '../../certs/authority.ts'
import { layoutOf } from '../../certs/layout.ts'
import { AppError } from '../../lib/errors.ts'
import { Link } from './link.ts'
import { Program, runChecked, runCommand, until, type CommandResult } from './processes.ts'

export const site = 'plant-a'

/** Scheduled queries as agent.yaml writes them. */
export type Schedule = Record<string, { query: string; interval: number; snapshot?: boolean; splay?: number }>

export interface StackOptions {
  /** An empty or new folder; everything lies in it. */
  folder: string
  devices: readonly string[]
  schedule: Schedule
  /** Merged into gateway.yaml, section by section. */
  gateway?: Record<string, Record<string, unknown>>
  /** Merged into agent.yaml, section by section. */
  agent?: Record<string, Record<string, unknown>>
  /** Top-level keys of agent.yaml of single devices. */
  agentOf?: Record<string, Record<string, unknown>>
}

/** The part of `tidegate-agent status --json` that is counted here. */
export interface AgentFigures {
  outbox: { nextSeq: number; recordCount: number }
}

export class Stack {
  readonly folder: string
  readonly ports: { sites: number; api: number; mqtt: number; admin: number }
  readonly link: Link
  readonly #options: StackOptions
  readonly #programs = new Map<string, Program>()
  #token = ''
  #http: Agent | undefined

  private constructor(options: StackOptions, ports: Stack['ports'], link: Link) {
    this.folder = options.folder
    this.ports = ports
    this.link = link
    this.#options = options
  }

  /** Makes the PKI and all configuration, registers the site and makes a token; starts nothing yet. */
  static async create(options: StackOptions): Promise<Stack> {
    mkdirSync(options.folder, { recursive: true, mode: 0o700 })
    const [sites = 0, api = 0, mqtt = 0, admin = 0] = await freePorts(4)
    const stack = new Stack(options, { sites, api, mqtt, admin }, await Link.open(sites))
    await stack.#makePki()
    stack.#writeConfigs()
    await runChecked('tidegate-coordinator.js', [
      ...['site', 'add', site, '--signing-key', join(stack.pki.site(site), 'signing.pub')],
      ...['--config', stack.config('coordinator')],
    ])
    const token = await runChecked('tidegate-coordinator.js', [
      ...['token', 'create', '--name', 'demo', '--json', '--config', stack.config('coordinator')],
    ])
    stack.#token = (JSON.parse(token) as { token: string }).token
    stack.#http = new Agent({ connect: { ca: readFileSync(join(stack.pki.root, 'ca.pem')) } })
    return stack
  }

  get pki() {
    return layoutOf(join(this.folder, 'pki'))
  }

  /** `coordinator`, `gateway` or a device's id. */
  config(name: string): string {
    return join(this.folder, `${name}.yaml`)
  }

  program(name: string): Program {
    const program = this.#programs.get(name)
    if (program === undefined) throw new AppError('NOT_STARTED', `${name} was not started`)
    return program
  }

  async startCoordinator(): Promise<void> {
    await this.#start('coordinator', 'tidegate-coordinator.js')
    await until('the coordinator to answer', () => this.api('/api/v1/sites'))
  }

  async startGateway(): Promise<void> {
    await this.#start('gateway', 'tidegate-gateway.js')
    await until('the gateway to be healthy', async () => {
      const response = await fetch(`http://127.0.0.1:${this.ports.admin}/healthz`)
      return response.ok ? true : undefined
    })
  }

  async startAgent(device: string): Promise<void> {
    await this.#start(device, 'tidegate-agent.js')
  }

  /** Ends everything, the link last. */
  async stop(): Promise<void> {
    const programs = [...this.#programs.values()].reverse()
    await Promise.all(
      programs
        .filter((program) => program.name !== 'coordinator' && program.name !== 'gateway')
        .map((program) => program.stop()),
    )
    for (const name of ['gateway', 'coordinator']) await this.#programs.get(name)?.stop()
    await this.link.close()
    await this.#http?.destroy()
  }

  /** What a shell needs to use `tidegate` against this coordinator. */
  get environment(): Record<string, string> {
    return {
      TIDEGATE_SERVER: `https://localhost:${this.ports.api}`,
      TIDEGATE_CA: join(this.pki.root, 'ca.pem'),
      TIDEGATE_TOKEN: this.#token,
    }
  }

  /** The central team's command line. */
  tidegate(...args: string[]): Promise<CommandResult> {
    return runCommand('tidegate.js', args, this.environment)
  }

  /** The plant engineer's. */
  gatewayCommand(...args: string[]): Promise<CommandResult> {
    return runCommand('tidegate-gateway.js', [...args, '--config', this.config('gateway')])
  }

  /** GET of the coordinator's API for people. */
  async api<T = unknown>(path: string): Promise<T> {
    const response = await fetch(`https://localhost:${this.ports.api}${path}`, {
      headers: { authorization: `Bearer ${this.#token}` },
      ...(this.#http === undefined ? {} : { dispatcher: this.#http }),
    })
    if (!response.ok) throw new AppError('API_FAILED', `GET ${path}: ${response.status} ${await response.text()}`)
    return (await response.json()) as T
  }

  /** GET of the gateway's admin API. */
  async admin<T = unknown>(path: string): Promise<T> {
    const token = readFileSync(join(this.folder, 'gateway', 'admin.token'), 'utf8').trim()
    const response = await fetch(`http://127.0.0.1:${this.ports.admin}${path}`, {
      headers: { authorization: `Bearer ${token}` },
    })
    if (!response.ok) throw new AppError('API_FAILED', `GET ${path}: ${response.status} ${await response.text()}`)
    return (await response.json()) as T
  }

  /** What a running agent says of itself. */
  async agentStatus(device: string): Promise<AgentFigures> {
    return JSON.parse(
      await runChecked('tidegate-agent.js', ['status', '--json', '--config', this.config(device)]),
    ) as AgentFigures
  }

  async #start(name: string, bundle: string): Promise<void> {
    const program = new Program(name, bundle, ['run', '--config', this.config(name)], join(this.folder, `${name}.log`))
    this.#programs.set(name, program)
    // One that cannot start ends within moments; waiting for its port alone would hide why.
    const code = await Promise.race([program.ended, setTimeout(300, undefined)])
    if (code !== undefined) throw new AppError('PROGRAM_ENDED', `${name} ended with ${code}:\n${program.logTail()}`)
  }

  async #makePki(): Promise<void> {
    const pki = this.pki.pki
    await createRoot({ pki, deployment: 'tidegate demo' })
    await createSite({ pki, site })
    await issueServer({ pki, role: 'coordinator', dns: ['localhost'], ip: ['127.0.0.1'] })
    await issueServer({ pki, role: 'gateway', site, dns: ['localhost'], ip: ['127.0.0.1'] })
    for (const device of this.#options.devices) await issueDevice({ pki, site, device })
  }

  #writeConfigs(): void {
    const { pki, ports } = this
    const rootCa = join(pki.root, 'ca.pem')
    const commandKey = { key: join(pki.centre, 'command-signing.key'), pub: join(pki.centre, 'command-signing.pub') }
    this.#write('coordinator', {
      dataDir: 'coordinator',
      sites: { listen: `127.0.0.1:${ports.sites}`, ...leaf(pki.coordinator), ca: rootCa },
      api: { listen: `127.0.0.1:${ports.api}`, ...leaf(pki.coordinator) },
      signing: commandKey,
      resultLog: { path: 'results.log' },
    })
    const signing = { key: join(pki.site(site), 'signing.key'), pub: join(pki.site(site), 'signing.pub') }
    this.#write(
      'gateway',
      merge(
        {
          site,
          dataDir: 'gateway',
          devices: {
            listen: `127.0.0.1:${ports.mqtt}`,
            ...leaf(pki.gateway(site)),
            ca: join(pki.site(site), 'chain.pem'),
            crl: join(pki.site(site), 'crl.pem'),
          },
          signing,
          admin: { listen: `127.0.0.1:${ports.admin}` },
          centre: { url: `https://localhost:${this.link.port}`, ca: rootCa, trust: [commandKey.pub] },
        },
        this.#options.gateway ?? {},
      ),
    )
    for (const device of this.#options.devices) {
      this.#write(
        device,
        merge(
          {
            site,
            gateway: `localhost:${ports.mqtt}`,
            dataDir: device,
            tls: { ca: rootCa, ...leaf(pki.device(site, device)) },
            trust: { centre: [commandKey.pub], plant: [signing.pub] },
            labels: ['demo'],
            // Seconds matter to those who watch; on a device, few writes do.
            outbox: { flushDelay: '100ms' },
            schedule: this.#options.schedule,
            ...this.#options.agentOf?.[device],
          },
          this.#options.agent ?? {},
        ),
      )
    }
  }

  #write(name: string, config: Record<string, unknown>): void {
    writeFileSync(this.config(name), stringify(config), { mode: 0o600 })
  }
}

function leaf(folder: string): { cert: string; key: string } {
  return { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') }
}

function merge(base: Record<string, unknown>, more: Record<string, Record<string, unknown>>): Record<string, unknown> {
  const merged = { ...base }
  for (const [key, section] of Object.entries(more)) merged[key] = { ...(base[key] as object | undefined), ...section }
  return merged
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer())
  await Promise.all(servers.map((server) => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))))
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}
