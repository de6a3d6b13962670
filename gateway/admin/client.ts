// How the commands speak to the running gateway: its own API on loopback, with the token from dataDir.
import { AppError, type ExitKind } from '../../lib/errors.ts'
import { loadGatewayConfig, type GatewayConfig } from '../config.ts'
import { readToken } from './token.ts'

export class AdminClient {
  readonly #base: string
  readonly #token: string

  /** For the gateway of this configuration file. Throws AppError: CONFIG_…, TOKEN_UNREADABLE. */
  constructor(configPath: string) {
    const config = loadGatewayConfig(configPath)
    this.#base = baseOf(config)
    this.#token = readToken(config.dataDir)
  }

  /** Throws AppError with the gateway's own code and hint, or GATEWAY_NOT_RUNNING. */
  get<T>(path: string): Promise<T> {
    return this.#request<T>('GET', path)
  }

  post<T>(path: string, body: unknown): Promise<T> {
    return this.#request<T>('POST', path, body)
  }

  async #request<T>(method: string, path: string, body?: unknown): Promise<T> {
    let response: Response
    try {
      response = await fetch(`${this.#base}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${this.#token}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
    } catch (error) {
      throw new AppError('GATEWAY_NOT_RUNNING', `the gateway does not answer at ${this.#base}`, {
        exit: 'peer',
        hint: 'start it: tidegate-gateway run --config FILE, or systemctl start tidegate-gateway',
        cause: error,
      })
    }
    const reply = (await response.json()) as unknown
    if (response.ok) return reply as T
    const { code, message, hint } = (reply as { error: { code: string; message: string; hint?: string } }).error
    const exit: ExitKind = code === 'STORE_UNUSABLE' ? 'storage' : 'failed'
    throw new AppError(code, message, { exit, ...(hint === undefined ? {} : { hint }) })
  }
}

function baseOf({ admin }: GatewayConfig): string {
  const { host, port } = admin.listen
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`
}
