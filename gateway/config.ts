// gateway.yaml: every key, its default and its range. The only reader of the file and of what it points to.
import * as z from 'zod'
import { durationMs, hostPort, loadConfig, relativeTo, sizeBytes } from '../lib/config.ts'
import { logLevels } from '../lib/log.ts'
import { SiteId } from '../protocol/ids.ts'
import { limits } from '../protocol/limits.ts'
import { ConsentRules } from './dispatch/consent.ts'

const Count = z.int().min(1)

const LoopbackAddress = hostPort.refine(
  ({ host }) => host === 'localhost' || host === '::1' || /^127\./.test(host),
  'must be a loopback address: this API is plain HTTP',
)

export const GatewayConfig = z.strictObject({
  site: SiteId,
  dataDir: z.string().min(1),
  devices: z.strictObject({
    listen: hostPort.prefault('0.0.0.0:8883'),
    cert: z.string(),
    key: z.string(),
    /** The site's CA and the root in one file. */
    ca: z.string(),
    crl: z.string().optional(),
    maxConnections: Count.default(1000),
    handshakesPerSecond: Count.default(100),
  }),
  /** Ed25519: signs segments and the plant's own commands. */
  signing: z.strictObject({ key: z.string(), pub: z.string() }),
  journal: z
    .strictObject({
      /** The journal grows no further; past it devices keep their records themselves. */
      maxBytes: sizeBytes.prefault('4GiB'),
    })
    .prefault({}),
  admin: z.strictObject({ listen: LoopbackAddress.prefault('127.0.0.1:9883') }).prefault({}),
  query: z
    .strictObject({
      timeout: durationMs.prefault('30s'),
      maxRows: Count.max(limits.rowsPerRecord).default(10_000),
      maxBytes: sizeBytes.prefault('16MiB'),
      memory: sizeBytes.prefault('256MiB'),
    })
    .prefault({}),
  centre: z.strictObject({
    url: z.url({ protocol: /^https$/, error: 'must be an https:// URL' }),
    /** Root CA of the coordinator's certificate. */
    ca: z.string(),
    /** This gateway's certificate towards the centre; devices.cert and devices.key when left out. */
    cert: z.string().optional(),
    key: z.string().optional(),
    /** Public keys of the centre: what it signs commands and receipts with. */
    trust: z.array(z.string()).min(1),
  }),
  consent: z.strictObject({ rules: ConsentRules.default([]) }).prefault({}),
  uplink: z
    .strictObject({
      connectTimeout: durationMs.prefault('20s'),
      answerTimeout: durationMs.prefault('30s'),
      /** How long the centre may hold a poll for commands. */
      pollWait: durationMs.refine((ms) => ms >= 1000 && ms <= 30_000, 'must be 1s to 30s').prefault('25s'),
      /** Size of the first segment; later ones follow the link's speed. */
      segmentBytes: sizeBytes
        .refine((bytes) => bytes >= 4096 && bytes <= limits.segmentBytes / 2, 'must be 4KiB to 4MiB')
        .prefault('256KiB'),
      /** How long history waits for company before it is sent. */
      linger: durationMs.refine((ms) => ms <= 60_000, 'must be at most 60s').prefault('500ms'),
      /** More JSON than this waiting in history opens the lane of the newest state. */
      stateLaneAbove: sizeBytes.prefault('1MiB'),
      stateRoundEvery: durationMs.prefault('30s'),
      /** Longest wait between two attempts while the centre cannot be reached. */
      retryMax: durationMs.refine((ms) => ms >= 1000 && ms <= 3_600_000, 'must be 1s to 1h').prefault('2m'),
      /** Segments kept after their receipt, in case the centre is set back to a backup. */
      keepReceipted: sizeBytes.prefault('16MiB'),
    })
    .prefault({}),
  retention: z.strictObject({ queries: durationMs.prefault('90d') }).prefault({}),
  log: z.strictObject({ level: z.enum(logLevels).default('info') }).prefault({}),
})

type Parsed = z.output<typeof GatewayConfig>
/** As in the file, with absolute paths and the centre's certificate filled in. */
export type GatewayConfig = Omit<Parsed, 'centre'> & { centre: Parsed['centre'] & { cert: string; key: string } }

/** Reads a configuration; paths in it become relative to its folder. Throws AppError CONFIG_UNREADABLE or CONFIG_INVALID. */
export function loadGatewayConfig(path: string): GatewayConfig {
  const config = loadConfig(path, GatewayConfig)
  const at = (file: string) => relativeTo(path, file)
  const { devices, signing, centre } = config
  return {
    ...config,
    dataDir: at(config.dataDir),
    devices: {
      ...devices,
      cert: at(devices.cert),
      key: at(devices.key),
      ca: at(devices.ca),
      ...(devices.crl === undefined ? {} : { crl: at(devices.crl) }),
    },
    signing: { key: at(signing.key), pub: at(signing.pub) },
    centre: {
      ...centre,
      ca: at(centre.ca),
      cert: at(centre.cert ?? devices.cert),
      key: at(centre.key ?? devices.key),
      trust: centre.trust.map(at),
    },
  }
}
