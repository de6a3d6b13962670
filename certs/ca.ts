// A CA as it lies on disk, ready to sign: certificate and key are checked against each other before anything is signed with them.
import { X509Certificate, createPrivateKey } from 'node:crypto'
import { existsSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { AppError } from '../lib/errors.ts'
import { readBounded, recoverFolder } from './files.ts'
import { caFiles } from './layout.ts'
import type { Issuer } from './sign-certificate.ts'
import type { Validity } from './validity.ts'
import { x509 } from './x509.ts'

export interface Ca extends Issuer {
  folder: string
  certPem: string
  cn: string
  /** O of the subject: the name of the deployment, which every certificate below carries on. */
  deployment: string
  validity: Validity
}

/**
 * Opens the CA in `folder`. Throws CA_MISSING when there is none, CA_KEY_MISSING when only its certificate is there (a root kept
 * offline), CA_BROKEN when the files do not fit together.
 */
export async function openCa(folder: string): Promise<Ca> {
  const isRoot = basename(folder) === 'root'
  await recoverFolder(folder, isRoot ? dirname(folder) : dirname(dirname(folder)))
  if (!existsSync(join(folder, caFiles.cert))) {
    throw new AppError('CA_MISSING', `there is no CA in ${folder}`, {
      hint: isRoot
        ? 'tidegate certs init --name "Acme Water"'
        : `tidegate certs site ${basename(folder)} (or check --pki)`,
      exit: 'certificate',
    })
  }
  const certPem = (await readBounded(join(folder, caFiles.cert))).toString()
  const keyPath = join(folder, caFiles.key)
  if (!existsSync(keyPath)) {
    throw new AppError('CA_KEY_MISSING', `${keyPath} is not there, so this CA cannot sign here`, {
      hint: isRoot
        ? 'bring the medium on which the root key is kept, and give its folder as --pki'
        : 'run the command on the gateway, or where the site was made',
      exit: 'certificate',
    })
  }
  const keyPem = (await readBounded(keyPath)).toString()
  try {
    const certificate = new X509Certificate(certPem)
    const key = createPrivateKey(keyPem)
    if (!certificate.checkPrivateKey(key)) throw new Error('the key does not belong to the certificate')
    if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw new Error('its key is not ECDSA P-256')
    const { subjectName, notBefore, notAfter } = new x509.X509Certificate(certificate.raw)
    const [cn] = subjectName.getField('CN')
    const [deployment] = subjectName.getField('O')
    if (cn === undefined || deployment === undefined) throw new Error('its subject lacks CN or O')
    return {
      folder,
      certPem,
      certificate,
      key,
      cn,
      deployment,
      validity: { notBefore, notAfter },
    }
  } catch (error) {
    throw new AppError('CA_BROKEN', `the CA in ${folder} cannot be used: ${(error as Error).message}`, {
      hint: `tidegate certs inspect ${folder}`,
      exit: 'certificate',
      cause: error,
    })
  }
}
