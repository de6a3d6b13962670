// Queries of the centre: made, signed per site, cancelled, and ended when nobody can answer any more.
import { randomBytes } from 'node:crypto'
import { AppError } from '../../lib/errors.ts'
import { formatDuration } from '../../lib/units.ts'
import type { QueryCreate } from '../../protocol/api.ts'
import { encodeCommand } from '../../protocol/commands.ts'
import { QueryId, type DeviceId, type SiteId } from '../../protocol/ids.ts'
import type { Signer } from '../../protocol/jws.ts'
import { protocolVersion } from '../../protocol/version.ts'
import { commandsTopic, queryTopic, type Notifier } from '../notifier.ts'
import type { SiteLinks } from '../sites/links.ts'
import type { SignedCommand, Store, TargetSelection } from '../store/store.ts'
import { checkSql } from './sql-check.ts'

/** A command is valid from a little before it was made: clocks at plants are never exactly right. */
const clockSkewMs = 300_000
/** How long after its validity a query waits for the word of a site whose link is up. */
const lastWordMs = 60_000
/** Device ids that fit into one command with room to spare; a whole site beyond that is addressed with `*`. */
const maxNamedDevices = 1000

export interface CentreOptions {
  store: Store
  signer: Signer
  notifier: Notifier
  links: SiteLinks
  now?: () => number
}

export class Centre {
  readonly #store: Store
  readonly #signer: Signer
  readonly #notifier: Notifier
  readonly #links: SiteLinks
  readonly #now: () => number

  constructor({ store, signer, notifier, links, now = Date.now }: CentreOptions) {
    this.#store = store
    this.#signer = signer
    this.#notifier = notifier
    this.#links = links
    this.#now = now
  }

  /** Queues a query for every site it concerns. Throws AppError SQL_REFUSED, TARGET_UNKNOWN, TARGETS_EMPTY, TARGETS_TOO_MANY. */
  async create(input: QueryCreate, by: string): Promise<QueryId> {
    checkSql(input.sql)
    const { unknown, sites } = await this.#store.resolveTargets(parseTargets(input.targets))
    if (unknown.length > 0) {
      throw new AppError('TARGET_UNKNOWN', `no such target: ${unknown.slice(0, 10).join(', ')}`, {
        hint: 'tidegate sites and tidegate hosts list what there is',
        exit: 'usage',
      })
    }
    if (sites.length === 0) {
      throw new AppError('TARGETS_EMPTY', 'the targets select no device: no host has both that site and that label', {
        hint: 'tidegate hosts --site … --label … shows what a selection holds',
        exit: 'usage',
      })
    }
    const id = QueryId.parse(`q-${randomName()}`)
    const createdAtMs = this.#now()
    const notAfterMs = createdAtMs + input.validForMs
    const body = {
      sql: input.sql,
      maxRows: input.maxRows,
      maxBytes: input.maxBytes,
      timeoutMs: input.timeoutMs,
      costClass: input.costClass,
    }
    const addressed = await Promise.all(
      sites.map(async ({ site, devices, isWhole }) => ({
        site,
        devices: devices.length === 0 ? null : devices,
        jws: await encodeCommand(
          {
            ...this.#head(id, createdAtMs, notAfterMs, site, addressOf(site, devices, isWhole)),
            kind: 'query',
            body,
            by,
            ...(input.why === undefined ? {} : { why: input.why }),
          },
          this.#signer,
        ),
      })),
    )
    await this.#store.createQuery(
      { ...body, id, targets: input.targets, createdAtMs, notAfterMs, by, why: input.why ?? null },
      addressed,
    )
    for (const { site } of addressed) this.#notifier.notify(commandsTopic(site))
    return id
  }

  /** Tells the sites to stop. Devices that answered stay answered. Throws AppError QUERY_CLOSED. */
  async cancel(id: QueryId, who: string): Promise<void> {
    const query = await this.#store.query(id)
    if (query === undefined) throw new AppError('QUERY_UNKNOWN', `there is no query ${id}`)
    const bySite = new Map<SiteId, DeviceId[]>()
    for (const { site, device } of await this.#store.queryTargets(id)) {
      const devices = bySite.get(site) ?? []
      bySite.set(site, devices)
      if (device !== null) devices.push(device)
    }
    const atMs = this.#now()
    const commands = await Promise.all(
      [...bySite].map(async ([site, devices]): Promise<SignedCommand> => {
        const devicesOrAll = devices.length === 0 || devices.length > maxNamedDevices ? '*' : devices
        const head = this.#head(`c-${randomName()}`, atMs, query.notAfterMs, site, devicesOrAll)
        const jws = await encodeCommand({ ...head, kind: 'cancel', body: { queryId: id }, by: who }, this.#signer)
        return { site, jws, notAfterMs: query.notAfterMs }
      }),
    )
    if (!(await this.#store.cancelQuery(id, who, atMs, commands))) {
      throw new AppError('QUERY_CLOSED', `query ${id} is over: there is nothing to cancel`)
    }
    this.#notifier.notify(queryTopic(id))
    for (const { site } of commands) this.#notifier.notify(commandsTopic(site))
  }

  /** Ends what is open of queries whose time is over. A true answer that arrives later still replaces that. */
  async expire(): Promise<void> {
    const nowMs = this.#now()
    const overdue = (await this.#store.overdueSites(nowMs)).map((contact) => {
      const link = this.#links.linkOf(contact)
      const site = contact.id
      if (link.state === 'up') {
        const reason = `no word from the site within ${formatDuration(lastWordMs)} after the query ended, though its link is up`
        return { site, validBeforeMs: nowMs - lastWordMs, reason }
      }
      const reason =
        link.state === 'never'
          ? 'the site has never connected'
          : `site link down since ${new Date(link.sinceMs ?? 0).toISOString().slice(0, 19)}Z`
      return { site, validBeforeMs: nowMs, reason }
    })
    if (overdue.length === 0) return
    for (const id of await this.#store.expireTargets(nowMs, overdue)) this.#notifier.notify(queryTopic(id))
  }

  #head(id: string, issuedAtMs: number, notAfterMs: number, site: SiteId, devices: '*' | DeviceId[]) {
    return {
      v: protocolVersion,
      id,
      authority: 'centre' as const,
      issuedAtMs,
      notBeforeMs: Math.max(0, issuedAtMs - clockSkewMs),
      notAfterMs,
      target: { site, devices },
    }
  }
}

function addressOf(site: SiteId, devices: DeviceId[], isWhole: boolean): '*' | DeviceId[] {
  if (devices.length === 0) return '*'
  if (devices.length <= maxNamedDevices) return devices
  if (isWhole) return '*'
  throw new AppError(
    'TARGETS_TOO_MANY',
    `${devices.length} devices of site ${site} are selected; at most ${maxNamedDevices} can be named, or the whole site`,
    { hint: `--target site=${site} asks all of them`, exit: 'usage' },
  )
}

function parseTargets(targets: readonly string[]): TargetSelection {
  const values = (kind: string) =>
    targets.filter((target) => target.startsWith(`${kind}=`)).map((target) => target.slice(kind.length + 1))
  return { all: targets.includes('all'), sites: values('site'), labels: values('label'), hosts: values('host') }
}

/** Ten characters of Crockford's base 32: 50 random bits, easy to read aloud. */
function randomName(): string {
  return Array.from(randomBytes(10), (byte) => '0123456789abcdefghjkmnpqrstvwxyz'[byte & 31]).join('')
}
