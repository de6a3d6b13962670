// Revocation lists of the root (for site CAs) and of sites (for their gateways). A stale list goes on being used and is
// only warned of: an old list must never lock a plant out. Lists are read again when their files change.
import { readFileSync, statSync } from 'node:fs'
import type { DetailedPeerCertificate } from 'node:tls'
import { RevocationList } from '../../certs/revocation.ts'
import type { Logger } from '../../lib/log.ts'

export interface RevocationFile {
  crl: string
  /** Certificate of the CA that signs the list. */
  ca: string
}

export class Revocations {
  readonly #files: readonly RevocationFile[]
  readonly #log: Logger
  #lists: { list: RevocationList; changedAtMs: number }[] = []

  private constructor(files: readonly RevocationFile[], log: Logger) {
    this.#files = files
    this.#log = log
  }

  /** Throws AppError when a list cannot be read or was not signed by its CA. */
  static async load(files: readonly RevocationFile[], log: Logger): Promise<Revocations> {
    const revocations = new Revocations(files, log)
    revocations.#lists = files.map((file) => revocations.#read(file))
    return revocations
  }

  /** Reads files that changed. A list that cannot be used, or is older than the one held, is refused and logged. */
  async refresh(nowMs: number): Promise<void> {
    for (const [index, file] of this.#files.entries()) {
      const held = this.#lists[index]
      try {
        if (held === undefined || statSync(file.crl).mtimeMs === held.changedAtMs) continue
        const next = this.#read(file)
        if (next.list.number < held.list.number) {
          held.changedAtMs = next.changedAtMs
          this.#log.error({ file: file.crl, number: next.list.number }, 'revocation list is older than the one in use')
          continue
        }
        this.#lists[index] = next
        this.#log.info({ file: file.crl, number: next.list.number, revoked: next.list.count }, 'revocation list read')
      } catch (error) {
        this.#log.error({ file: file.crl, err: error }, 'revocation list cannot be used; the last one stays in force')
      }
    }
    for (const [index, { list }] of this.#lists.entries()) {
      if (list.isStale(nowMs)) this.#log.warn({ file: this.#files[index]?.crl }, 'revocation list is out of date')
    }
  }

  /** The first certificate of a peer's chain that is revoked, as text; undefined when none is. */
  revokedIn(leaf: DetailedPeerCertificate): string | undefined {
    const seen = new Set<string>()
    for (
      let certificate: DetailedPeerCertificate | undefined = leaf;
      certificate?.fingerprint256 !== undefined && !seen.has(certificate.fingerprint256);
      certificate = certificate.issuerCertificate
    ) {
      seen.add(certificate.fingerprint256)
      const { issuer, serialNumber, subject } = certificate
      const isRevoked = this.#lists.some(({ list }) => list.issuerCn === issuer.CN && list.isRevoked(serialNumber))
      if (isRevoked) return `CN=${String(subject.CN)} serial ${serialNumber}`
    }
    return undefined
  }

  #read({ crl, ca }: RevocationFile) {
    const changedAtMs = statSync(crl).mtimeMs
    return { list: RevocationList.load(readFileSync(crl), readFileSync(ca)), changedAtMs }
  }
}
