// Who this device is. The certificate alone says it: no name in a file or of the host is trusted. Beside it, what tells
// installations, machines and boots apart.
import { createHmac, randomUUID, X509Certificate } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { identityOf } from '../certs/peer.ts'
import { AppError } from '../lib/errors.ts'
import { DeviceId } from '../protocol/ids.ts'
import { replaceFileSync } from './dispatch/replace-file.ts'
import { Device } from './sources/device.ts'
import { hostname } from './sources/machine.ts'

export interface Identity {
  device: DeviceId
  /** End of the certificate's validity. */
  notAfterMs: number
  hostname: string
  /** Of the machine: by its firmware, or derived from /etc/machine-id, or the instance id. Lower case. */
  uuid: string
  /** Random, made with the data directory. */
  instanceId: string
  bootId: string
}

export interface IdentityOptions {
  certPem: string
  /** The site in agent.yaml; the certificate must come from its CA. */
  site: string
  dataDir: string
  machine?: Device
}

/** Throws AppError CERTIFICATE_* (exit 6), or INSTANCE_ID_UNUSABLE (exit 5) when the data directory cannot be used. */
export function readIdentity({ certPem, site, dataDir, machine = new Device() }: IdentityOptions): Identity {
  const { device, notAfterMs } = deviceOf(certPem, site)
  const instanceId = readInstanceId(dataDir)
  return {
    device,
    notAfterMs,
    hostname: hostname(machine),
    uuid: machineUuid(machine) ?? instanceId,
    instanceId,
    bootId: machine.text('/proc/sys/kernel/random/boot_id').trim(),
  }
}

/**
 * The device a certificate (PEM, the leaf first) was issued to. Throws AppError, exit 6: CERTIFICATE_UNREADABLE,
 * CERTIFICATE_NOT_A_DEVICE or CERTIFICATE_OTHER_SITE; PEER_SUBJECT_INVALID or PEER_ISSUER_INVALID for one that is not
 * tidegate's.
 */
export function deviceOf(certPem: string, site: string): { device: DeviceId; notAfterMs: number } {
  const { id, role, issuerCn, notAfterMs } = identityOf(parseCertificate(certPem).toLegacyObject())
  if (role !== 'device') {
    throw new AppError('CERTIFICATE_NOT_A_DEVICE', `tls.cert is the certificate of ${role} ${id}, not of a device`, {
      exit: 'certificate',
      hint: `tidegate certs issue --site ${site} DEVICE makes one`,
    })
  }
  if (issuerCn !== site) {
    throw new AppError('CERTIFICATE_OTHER_SITE', `tls.cert was issued by site ${issuerCn}, but site is ${site}`, {
      exit: 'certificate',
      hint: `correct site in agent.yaml, or issue a certificate of ${site}`,
    })
  }
  return { device: DeviceId.parse(id), notAfterMs }
}

function parseCertificate(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem)
  } catch (error) {
    throw new AppError('CERTIFICATE_UNREADABLE', `tls.cert holds no certificate: ${(error as Error).message}`, {
      exit: 'certificate',
      hint: 'it must be PEM, this device first: tidegate certs inspect FILE shows what it is',
      cause: error,
    })
  }
}

/** What some makers put in place of a UUID; osquery passes over them too (core/system.cpp). */
const placeholderUuids = [
  '00000000-0000-0000-0000-000000000000',
  'ffffffff-ffff-ffff-ffff-ffffffffffff',
  '03000200-0400-0500-0006-000700080009',
  '03020100-0504-0706-0809-0a0b0c0d0e0f',
  '10000000-0000-8000-0040-000000000000',
]
const uuidForm = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

function machineUuid(machine: Device): string | undefined {
  const firmware = readIfAllowed(machine, '/sys/class/dmi/id/product_uuid')?.toLowerCase()
  if (firmware !== undefined && uuidForm.test(firmware) && !placeholderUuids.includes(firmware)) return firmware
  const machineId = readIfAllowed(machine, '/etc/machine-id')
  if (machineId === undefined || !/^[0-9a-f]{32}$/.test(machineId)) return undefined
  // machine-id(5): it is confidential, and an application derives its own from it, as sd_id128_get_machine_app_specific.
  const bytes = createHmac('sha256', Buffer.from(machineId, 'hex')).update('tidegate').digest().subarray(0, 16)
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x40, 6)
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8)
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}

/** product_uuid is for root only. */
function readIfAllowed(machine: Device, path: string): string | undefined {
  try {
    return machine.textIfPresent(path)?.trim()
  } catch {
    return undefined
  }
}

function readInstanceId(dataDir: string): string {
  const path = join(dataDir, 'instance-id')
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 })
    const known = existsSync(path) ? readFileSync(path, 'utf8').trim() : ''
    if (uuidForm.test(known)) return known
    const fresh = randomUUID()
    replaceFileSync(path, `${fresh}\n`)
    return fresh
  } catch (error) {
    const code = String((error as NodeJS.ErrnoException).code)
    throw new AppError('INSTANCE_ID_UNUSABLE', `cannot read or make ${path}: ${code}`, {
      exit: 'storage',
      hint: 'check that the data directory exists and that this user may write there',
      cause: error,
    })
  }
}
