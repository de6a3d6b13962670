// Loads the certificate and key a program shows to its peers, and refuses a pair that would only fail later, inside a handshake.
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { join } from 'node:path'
import { AppError } from '../lib/errors.ts'
import { readableFolder, readBounded } from './files.ts'
import { leafFiles } from './layout.ts'

/**
 * cert.pem and key.pem of a folder, also in the moment after a power cut in which it was being replaced. Throws FILE_MISSING,
 * FILE_UNREADABLE or IDENTITY_BROKEN (exit 6).
 */
export async function readLeaf(folder: string): Promise<{ certPem: string; keyPem: string }> {
  const at = readableFolder(folder)
  const hint = `tidegate certs inspect ${folder}`
  const certPem = (await readBounded(join(at, leafFiles.cert), hint)).toString()
  const keyPem = (await readBounded(join(at, leafFiles.key), hint)).toString()
  let why = 'the key does not belong to the certificate'
  try {
    if (new X509Certificate(certPem).checkPrivateKey(createPrivateKey(keyPem))) return { certPem, keyPem }
  } catch (error) {
    why = (error as Error).message
  }
  throw new AppError('IDENTITY_BROKEN', `${folder}: ${why}`, { hint, exit: 'certificate' })
}
