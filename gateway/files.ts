// Reads every certificate and key that the configuration names, and says which one cannot be used and why.
import { X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { RevocationList } from '../certs/revocation.ts'
import { readConfigFile } from '../lib/config.ts'
import { AppError } from '../lib/errors.ts'
import { createSigner, loadTrustedKey } from '../protocol/jws.ts'
import { siteCas } from './broker/admission.ts'
import type { GatewayConfig } from './config.ts'

export interface GatewayFiles {
  devices: { cert: string; key: string; ca: string }
  revocations: RevocationList | undefined
  signing: { key: string; pub: string }
  centreKeys: string[]
  /** Those that run out, with the name people know them by. */
  certificates: { what: string; notAfterMs: number }[]
}

/** Throws AppError: CONFIG_FILE_UNREADABLE (exit 3), KEY_UNUSABLE, SITE_CA_MISSING, CRL_INVALID, TLS_FILES_UNUSABLE (exit 6). */
export async function readGatewayFiles(config: GatewayConfig): Promise<GatewayFiles> {
  const { devices, signing, centre } = config
  const files: GatewayFiles = {
    devices: {
      cert: readConfigFile(devices.cert, 'devices.cert'),
      key: readConfigFile(devices.key, 'devices.key'),
      ca: readConfigFile(devices.ca, 'devices.ca'),
    },
    revocations: undefined,
    signing: { key: readConfigFile(signing.key, 'signing.key'), pub: readConfigFile(signing.pub, 'signing.pub') },
    centreKeys: centre.trust.map((path, index) => readConfigFile(path, `centre.trust.${index}`)),
    certificates: [],
  }
  const centreTls = {
    ca: readConfigFile(centre.ca, 'centre.ca'),
    cert: readConfigFile(centre.cert, 'centre.cert'),
    key: readConfigFile(centre.key, 'centre.key'),
  }
  await usable('signing.key and signing.pub', () => createSigner(files.signing.key, files.signing.pub))
  for (const [index, pem] of files.centreKeys.entries()) {
    await usable(`centre.trust.${index}`, () => loadTrustedKey(pem, 'centre'))
  }
  files.revocations = readRevocations(config, files.devices.ca)
  secureContext('devices', files.devices)
  secureContext('centre', centreTls)
  files.certificates.push(expiryOf('the certificate devices.cert', files.devices.cert))
  if (centre.cert !== devices.cert) files.certificates.push(expiryOf('the certificate centre.cert', centreTls.cert))
  return files
}

/** devices.crl, when there is one, checked with the site's CA. A list that is stale still counts. */
export function readRevocations({ devices, site }: GatewayConfig, caBundle: string): RevocationList | undefined {
  const [ca] = siteCas(caBundle, site)
  if (devices.crl === undefined || ca === undefined) return undefined
  return RevocationList.load(readConfigFile(devices.crl, 'devices.crl'), ca.raw)
}

async function usable(what: string, run: () => Promise<unknown>): Promise<void> {
  try {
    await run()
  } catch (error) {
    throw new AppError('KEY_UNUSABLE', `${what}: not an Ed25519 key in PEM (${(error as Error).message})`, {
      exit: 'certificate',
      hint: 'tidegate certs makes these keys: signing.key and signing.pub of the site, command-signing.pub of the centre',
      cause: error,
    })
  }
}

function expiryOf(what: string, pem: string): { what: string; notAfterMs: number } {
  return { what, notAfterMs: Date.parse(new X509Certificate(pem).validTo) }
}

function secureContext(what: string, files: { ca: string; cert: string; key: string }): void {
  try {
    createSecureContext(files)
  } catch (error) {
    throw new AppError('TLS_FILES_UNUSABLE', `${what}.cert, key and ca do not fit: ${(error as Error).message}`, {
      exit: 'certificate',
      hint: 'tidegate certs inspect shows what is wrong with each of them',
      cause: error,
    })
  }
}
