// devices.crl while the gateway runs: read again when it changes, never replaced by an older list, and a list that cannot
// be used changes nothing.
import { watch, type FSWatcher } from 'node:fs'
import { basename, dirname } from 'node:path'
import type { RevocationList } from '../certs/revocation.ts'
import { AppError } from '../lib/errors.ts'
import type { Logger } from '../lib/log.ts'
import type { GatewayConfig } from './config.ts'
import { readRevocations, type GatewayFiles } from './files.ts'

/** A file that is being copied changes several times. */
const settleMs = 300

export class RevocationFile {
  readonly #config: GatewayConfig
  readonly #files: GatewayFiles
  readonly #log: Logger
  readonly #onList: (list: RevocationList) => void
  #watcher: FSWatcher | undefined
  #timer: NodeJS.Timeout | undefined

  /** `files.revocations` is the list in use, and is replaced with each newer one. */
  constructor(config: GatewayConfig, files: GatewayFiles, log: Logger, onList: (list: RevocationList) => void) {
    this.#config = config
    this.#files = files
    this.#log = log
    this.#onList = onList
  }

  /** Watches the folder, since a list is replaced by renaming. */
  watch(): void {
    const { crl } = this.#config.devices
    if (crl === undefined) return
    this.#watcher = watch(dirname(crl), { persistent: false }, (_event, name) => {
      if (name !== basename(crl)) return
      clearTimeout(this.#timer)
      this.#timer = setTimeout(() => this.reload(), settleMs).unref()
    })
    this.#watcher.on('error', (error) => {
      this.#log.warn({ err: error }, 'devices.crl is not watched: SIGHUP reads it')
    })
  }

  reload(): void {
    try {
      const list = readRevocations(this.#config, this.#files.devices.ca)
      const before = this.#files.revocations?.number ?? 0
      if (list === undefined || list.number === before) return
      if (list.number < before) {
        throw new AppError('CRL_OLDER', `devices.crl holds list ${list.number}, list ${before} is in use`, {
          hint: 'bring the newest crl.pem of the site',
        })
      }
      this.#files.revocations = list
      this.#onList(list)
      this.#log.info({ number: list.number, revoked: list.count }, 'revocation list loaded')
    } catch (error) {
      this.#log.error({ err: error }, 'the revocation list was not loaded; the one before still counts')
    }
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#watcher?.close()
  }
}
