// What the coordinator knows of each site's link: sites always call, so a site that has not called for longer than a
// long poll takes is cut off. Kept in memory, noted in the store now and then for the next start.
import type { SiteId } from '../../protocol/ids.ts'
import type { Link } from '../../protocol/api.ts'
import type { SiteContact, Store } from '../store/store.ts'

/** A long poll lasts up to 30 s; after it the gateway calls again at once, or after a short pause. */
export const linkDownAfterMs = 45_000

interface Contact {
  atMs: number
  openRequests: number
  /** When the last open request broke off; undefined when none did since the last call. */
  lostAtMs: number | undefined
  isSaved: boolean
}

export class SiteLinks {
  readonly #contacts = new Map<SiteId, Contact>()
  readonly #now: () => number

  constructor(now: () => number = Date.now) {
    this.#now = now
  }

  /** A request came. Call what it returns when the request is over: `true` when its answer went out whole. */
  opened(site: SiteId): (isWhole: boolean) => void {
    const contact = this.#contacts.get(site) ?? { atMs: 0, openRequests: 0, lostAtMs: undefined, isSaved: true }
    this.#contacts.set(site, contact)
    contact.atMs = this.#now()
    contact.openRequests++
    contact.lostAtMs = undefined
    contact.isSaved = false
    return (isWhole) => {
      contact.openRequests--
      if (!isWhole && contact.openRequests === 0) contact.lostAtMs = this.#now()
    }
  }

  /** Of every site. */
  async all(store: Store): Promise<(site: SiteId) => Link> {
    const links = new Map((await store.contacts()).map((contact) => [contact.id, this.linkOf(contact)]))
    return (site) => links.get(site) ?? { state: 'never' }
  }

  linkOf(site: SiteContact): Link {
    const contact = this.#contacts.get(site.id)
    const lastContactAtMs = Math.max(contact?.atMs ?? 0, site.lastContactAtMs ?? 0)
    if (lastContactAtMs === 0) return { state: 'never' }
    if (contact?.lostAtMs !== undefined) return { state: 'down', sinceMs: contact.lostAtMs, lastContactAtMs }
    if (this.#now() - lastContactAtMs > linkDownAfterMs)
      return { state: 'down', sinceMs: lastContactAtMs, lastContactAtMs }
    return { state: 'up', lastContactAtMs }
  }

  /** Writes contacts that are newer than the store's. */
  async save(store: Store): Promise<void> {
    const unsaved = [...this.#contacts].filter(([, contact]) => !contact.isSaved)
    if (unsaved.length === 0) return
    for (const [, contact] of unsaved) contact.isSaved = true
    await store.saveContacts(unsaved.map(([site, { atMs }]) => ({ site, atMs })))
  }
}
