// Prometheus metrics. Levels are read when Prometheus asks, so that an idle gateway does no work for them; labels are few
// and fixed: no device and no query becomes a label.
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { GatewayStatus } from './admin/status.ts'

export class Metrics {
  readonly #registry = new Registry()
  readonly #levels: Record<string, Gauge>
  readonly #alarm: Gauge<'code'>
  readonly #recordsStored: Counter
  readonly #refusals: Counter<'reason'>
  readonly #segments: Counter<'lane'>
  readonly #segmentBytes: Counter<'lane'>
  readonly #commands: Counter
  readonly #ack: Histogram
  readonly #status: () => Promise<Omit<GatewayStatus, 'ledger'>>

  /** `status` is called at each scrape. */
  constructor(status: () => Promise<Omit<GatewayStatus, 'ledger'>>) {
    this.#status = status
    const registers = [this.#registry]
    const gauge = (name: string, help: string) => new Gauge({ name: `tidegate_${name}`, help, registers })
    const counter = <L extends string>(name: string, help: string, labelNames: L[] = []) =>
      new Counter<L>({ name: `tidegate_${name}_total`, help, labelNames, registers })
    collectDefaultMetrics({ register: this.#registry, prefix: 'tidegate_' })
    this.#levels = {
      healthy: gauge('healthy', '1 while /healthz says 200'),
      devicesConnected: gauge('devices_connected', 'Devices with a session'),
      devicesKnown: gauge('devices_known', 'Devices that were ever here'),
      journalBytes: gauge('journal_bytes', 'Size of the journal on disk'),
      unfolded: gauge('state_unfolded_records', 'Records that the site state does not show yet'),
      uplinkUp: gauge('uplink_up', '1 while the centre answers'),
      backlogAnswers: gauge('backlog_answers', 'Answers that are not in a segment yet'),
      backlogHistory: gauge('backlog_records', 'Other records that are not in a segment yet'),
      backlogBytes: gauge('backlog_bytes', 'Their size as JSON, estimated'),
      backlogOldest: gauge('backlog_oldest_seconds', 'Age of the oldest record or segment without a receipt'),
      queriesOpen: gauge('queries_open', 'Queries with a device that has not ended'),
      queriesAwaitingConsent: gauge('queries_awaiting_consent', 'Queries that wait for a person at the plant'),
    }
    this.#alarm = new Gauge({
      name: 'tidegate_uplink_alarm',
      help: '1 while something between here and the centre waits for a person, by reason',
      labelNames: ['code'],
      registers,
    })
    this.#recordsStored = counter('records_stored', 'Records of devices on disk')
    this.#refusals = counter('refusals', 'Connections, packets and publishes refused', ['reason'])
    this.#segments = counter('segments_receipted', 'Segments with a receipt of the centre', ['lane'])
    this.#segmentBytes = counter('segment_bytes', 'Their size', ['lane'])
    this.#ack = new Histogram({
      name: 'tidegate_puback_seconds',
      help: 'From a publish to its PUBACK, the fsync included',
      buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20],
      registers,
    })
    this.#commands = counter('commands_received', 'Commands fetched from the centre')
  }

  recordsStored(count: number): void {
    this.#recordsStored.inc(count)
  }

  /** From a publish to its PUBACK, the fsync included. */
  publishAcknowledged(ms: number): void {
    this.#ack.observe(ms / 1000)
  }

  segmentReceipted(lane: string, bytes: number): void {
    this.#segments.inc({ lane })
    this.#segmentBytes.inc({ lane }, bytes)
  }

  commandsReceived(count: number): void {
    this.#commands.inc(count)
  }

  async render(): Promise<{ contentType: string; text: string }> {
    const { problems, devices, refused, journal, uplink, queries } = await this.#status()
    const { backlog } = uplink
    const levels: Record<string, number> = {
      healthy: problems.length === 0 ? 1 : 0,
      devicesConnected: devices.connected,
      devicesKnown: devices.known,
      journalBytes: journal.fileBytes,
      unfolded: backlog.unfolded,
      uplinkUp: uplink.isUp === true ? 1 : 0,
      backlogAnswers: backlog.answers,
      backlogHistory: backlog.history,
      backlogBytes: backlog.historyBytes,
      backlogOldest: backlog.oldestMs === undefined ? 0 : Math.max(0, (Date.now() - backlog.oldestMs) / 1000),
      queriesOpen: queries.open,
      queriesAwaitingConsent: queries.awaitingConsent,
    }
    for (const [name, value] of Object.entries(levels)) this.#levels[name]?.set(value)
    this.#refusals.reset()
    for (const [reason, count] of Object.entries(refused)) this.#refusals.inc({ reason }, count)
    this.#alarm.reset()
    for (const { code } of uplink.alarms) this.#alarm.set({ code }, 1)
    return { contentType: this.#registry.contentType, text: await this.#registry.metrics() }
  }
}
