// Carries commands from the store to connected devices. The truth is the store's table, not the broker's session: what is
// not acknowledged is sent again when the device is next ready. Store calls are batched: what comes up while one runs
// goes into the next, so that a thousand devices returning at once cost a few transactions.
import type { Logger } from '../../lib/log.ts'
import type { DeviceId } from '../../protocol/ids.ts'
import type { Effects } from '../store/site-store.ts'
import type { PresenceChange } from '../store/presence.ts'
import type { Dispatch } from './life-cycle.ts'

/** What the dispatcher needs of the store worker. */
export interface DispatchStore {
  presence(changes: PresenceChange[]): Promise<Effects>
  take(devices: DeviceId[]): Promise<Dispatch[]>
  acknowledged(list: { commandId: string; device: DeviceId }[]): Promise<Effects>
  tick(): Promise<Effects>
}

export interface DispatcherOptions {
  store: DispatchStore
  /** Hands a command to a device's session; resolves with `acked` on its PUBACK. */
  send: (device: DeviceId, payload: Buffer) => Promise<'acked' | 'offline' | 'gone'>
  log: Logger
  /** The store has events for the centre. Comings and goings of devices are not urgent. */
  onEvents?: (events: { isUrgent: boolean }) => void
  now?: () => number
}

/** After the store failed (full disk): how long until the same work is tried again. */
const retryMs = 5000
/** The wall clock may jump; the timer looks at it at least so often. */
const longestTimerMs = 60_000

export class Dispatcher {
  readonly #options: DispatcherOptions
  readonly #now: () => number
  /** Devices that listen on `down`, each with a number for the session, so that the end of an old one is told apart. */
  readonly #connected = new Map<DeviceId, number>()
  #sessions = 0
  readonly #sending = new Set<DeviceId>()
  readonly #wanted = new Set<DeviceId>()
  #presence: PresenceChange[] = []
  #acknowledged: { commandId: string; device: DeviceId }[] = []
  #isTickDue = false
  #isRunning = false
  #isStopped = false
  #nextDueMs: number | undefined
  #timer: NodeJS.Timeout | undefined
  #retryTimer: NodeJS.Timeout | undefined

  constructor(options: DispatcherOptions) {
    this.#options = options
    this.#now = options.now ?? Date.now
  }

  /** The device has subscribed to its commands. */
  deviceReady(device: DeviceId): void {
    this.#connected.set(device, ++this.#sessions)
    this.#want(device)
  }

  presenceChanged(change: PresenceChange): void {
    if (change.state === 'gone') this.#connected.delete(change.device)
    this.#presence.push(change)
    void this.#run()
  }

  /** Takes up what a change in the store means for dispatch. */
  apply({ ready, nextDueMs }: Effects): void {
    this.#nextDueMs = nextDueMs
    this.#armTimer()
    for (const device of ready) this.#want(device)
  }

  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
    clearTimeout(this.#retryTimer)
  }

  #want(device: DeviceId): void {
    if (!this.#connected.has(device)) return
    this.#wanted.add(device)
    void this.#run()
  }

  async #run(): Promise<void> {
    if (this.#isRunning || this.#isStopped) return
    this.#isRunning = true
    try {
      while (await this.#step());
    } catch (error) {
      if (this.#isStopped) return
      this.#options.log.error({ err: error }, 'the store does not take the state of commands; trying again')
      this.#retryTimer = setTimeout(() => void this.#run(), retryMs)
    } finally {
      this.#isRunning = false
    }
  }

  /** One batch of one sort of work; false when there is none. Work is only forgotten once the store has it. */
  async #step(): Promise<boolean> {
    const { store, onEvents } = this.#options
    if (this.#presence.length > 0) {
      const batch = this.#presence.slice()
      this.apply(await store.presence(batch))
      this.#presence = this.#presence.slice(batch.length)
      onEvents?.({ isUrgent: false })
      return true
    }
    if (this.#acknowledged.length > 0) {
      const batch = this.#acknowledged.slice()
      this.apply(await store.acknowledged(batch))
      this.#acknowledged = this.#acknowledged.slice(batch.length)
      onEvents?.({ isUrgent: true })
      return true
    }
    if (this.#isTickDue) {
      this.apply(await store.tick())
      this.#isTickDue = false
      onEvents?.({ isUrgent: true })
      return true
    }
    const devices = [...this.#wanted].filter((device) => !this.#sending.has(device))
    if (devices.length === 0) return false
    // Whoever is wanted again meanwhile stays wanted.
    for (const device of devices) this.#wanted.delete(device)
    let byDevice: Map<DeviceId, Dispatch[]>
    try {
      byDevice = group(await store.take(devices))
    } catch (error) {
      for (const device of devices) this.#wanted.add(device)
      throw error
    }
    for (const device of devices) {
      const commands = byDevice.get(device)
      if (commands !== undefined) void this.#sendAll(device, commands)
    }
    if (byDevice.size > 0) onEvents?.({ isUrgent: true })
    return true
  }

  /** In order, one after the other; stops at the first that does not arrive. */
  async #sendAll(device: DeviceId, commands: readonly Dispatch[]): Promise<void> {
    this.#sending.add(device)
    const session = this.#connected.get(device)
    try {
      for (const { commandId, jws } of commands) {
        const outcome = await this.#options.send(device, Buffer.from(jws))
        if (outcome !== 'acked') {
          // Unless it has come back meanwhile, it is tried again when it is ready.
          if (this.#connected.get(device) === session) {
            this.#connected.delete(device)
            this.#wanted.delete(device)
          }
          return
        }
        this.#acknowledged.push({ commandId, device })
        void this.#run()
      }
    } catch (error) {
      this.#options.log.error({ err: error, device }, 'a command could not be handed to the broker')
    } finally {
      this.#sending.delete(device)
      if (this.#wanted.has(device)) void this.#run()
    }
  }

  #armTimer(): void {
    clearTimeout(this.#timer)
    if (this.#nextDueMs === undefined || this.#isStopped) return
    const waitMs = Math.min(longestTimerMs, Math.max(0, this.#nextDueMs - this.#now()))
    this.#timer = setTimeout(() => {
      if (this.#nextDueMs !== undefined && this.#now() >= this.#nextDueMs) {
        this.#isTickDue = true
        void this.#run()
      } else this.#armTimer()
    }, waitMs)
  }
}

function group(commands: readonly Dispatch[]): Map<DeviceId, Dispatch[]> {
  const byDevice = new Map<DeviceId, Dispatch[]>()
  for (const command of commands) {
    const others = byDevice.get(command.device)
    if (others) others.push(command)
    else byDevice.set(command.device, [command])
  }
  return byDevice
}
