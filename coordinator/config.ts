// coordinator.yaml: its schema, its defaults, and the only place that reads it.
import { join } from 'node:path'
import * as z from 'zod'
import { durationMs, hostPort, loadConfig, relativeTo } from '../lib/config.ts'
import { logLevels } from '../lib/log.ts'

const day = 86_400_000

export const CoordinatorConfigSchema = z.strictObject({
  dataDir: z.string(),
  sites: z.strictObject({
    listen: hostPort,
    cert: z.string(),
    key: z.string(),
    /** The root CA: whoever it vouches for may connect. */
    ca: z.string(),
    /** Revocation lists of the root and of sites, each with the certificate of the CA that signs it. */
    revocation: z.array(z.strictObject({ crl: z.string(), ca: z.string() })).default([]),
  }),
  api: z.strictObject({
    listen: hostPort,
    cert: z.string(),
    key: z.string(),
    requestsPerMinute: z.int().min(1).max(1_000_000).default(1200),
  }),
  signing: z.strictObject({ key: z.string(), pub: z.string() }),
  resultLog: z.strictObject({ path: z.string() }).optional(),
  /** How long history and answers are kept. Latest tables, ledger and audit log are kept for good. */
  retention: durationMs.refine((ms) => ms >= day && ms <= 3650 * day, 'between 1d and 3650d').prefault('30d'),
  log: z.strictObject({ level: z.enum(logLevels).default('info') }).prefault({}),
})

export type CoordinatorConfig = z.output<typeof CoordinatorConfigSchema>

/** Loads and checks the file; paths in it become absolute or relative to the working directory. Throws AppError. */
export function loadCoordinatorConfig(path: string): CoordinatorConfig {
  const config = loadConfig(path, CoordinatorConfigSchema)
  const at = (file: string) => relativeTo(path, file)
  const { sites, api, signing, resultLog } = config
  return {
    ...config,
    dataDir: at(config.dataDir),
    sites: {
      ...sites,
      cert: at(sites.cert),
      key: at(sites.key),
      ca: at(sites.ca),
      revocation: sites.revocation.map(({ crl, ca }) => ({ crl: at(crl), ca: at(ca) })),
    },
    api: { ...api, cert: at(api.cert), key: at(api.key) },
    signing: { key: at(signing.key), pub: at(signing.pub) },
    ...(resultLog === undefined ? {} : { resultLog: { path: at(resultLog.path) } }),
  }
}

export function storePath(config: Pick<CoordinatorConfig, 'dataDir'>): string {
  return join(config.dataDir, 'coordinator.db')
}
