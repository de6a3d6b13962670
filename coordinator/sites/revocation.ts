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

interface HeldList {
  list: RevocationList
  changedAtMs: number
  /** Has been warned of. */
  isKnownStale: boolean
}

export class Revocations {
  readonly #files: readonly RevocationFile[]
  readonly #log: Logger
  readonly #lists: HeldList[]

  /** Throws AppError when a list cannot be read or was not signed by its CA. */
  constructor(files: readonly RevocationFile[], log: Logger) {
    this.#files = files
    this.#log = log
    this.#lists = files.map(readList)
  }

  /** Reads files that changed. A list that cannot be used, or is older than the one held, is refused and logged once. */
  refresh(nowMs: number): void {
    for (const [index, held] of this.#lists.entries()) {
      const file = this.#files[index]
      if (file === undefined) continue
      try {
        const changedAtMs = statSync(file.crl, { throwIfNoEntry: false })?.mtimeMs ?? 0
        if (changedAtMs !== held.changedAtMs) {
          held.changedAtMs = changedAtMs
          this.#replace(held, file)
        }
      } catch (error) {
        this.#log.error({ file: file.crl, err: error }, 'revocation list cannot be used; the last one stays in force')
      }
      if (!held.isKnownStale && held.list.isStale(nowMs)) {
        held.isKnownStale = true
        this.#log.warn({ file: file.crl }, 'revocation list is out of date; it stays in force')
      }
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

  #replace(held: HeldList, file: RevocationFile): void {
    const { list } = readList(file)
    if (list.number < held.list.number) {
      this.#log.error({ file: file.crl, number: list.number }, 'revocation list is older than the one in use')
      return
    }
    held.list = list
    held.isKnownStale = false
    this.#log.info({ file: file.crl, number: list.number, revoked: list.count }, 'revocation list read')
  }
}

function readList({ crl, ca }: RevocationFile): HeldList {
  const changedAtMs = statSync(crl).mtimeMs
  return { list: RevocationList.load(readFileSync(crl), readFileSync(ca)), changedAtMs, isKnownStale: false }
}
