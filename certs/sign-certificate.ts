// The certificate profile of each role (RFC 5280), and the one place where certificates are signed.
import { X509Certificate } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { normalFingerprint, toPem } from './encodings.ts'
import { usagesOfRole } from './roles.ts'
import type { Role } from './roles.ts'
import type { subjectAltNames } from './server-names.ts'
import type { Validity } from './validity.ts'
import { ecdsaP256, randomSerial, spkiOf, webCryptoKey, x509 } from './x509.ts'
import type { IndexEntry } from './ca-index.ts'

export interface Issuer {
  certificate: X509Certificate
  key: KeyObject
}

export interface ToSign {
  role: Role
  /** CN. */
  id: string
  /** O: the name of the deployment. */
  deployment: string
  publicKey: KeyObject
  validity: Validity
  altNames?: ReturnType<typeof subjectAltNames>
}

export interface Signed {
  pem: string
  entry: IndexEntry
}

/** Signs a certificate; with `{ selfKey }` the root signs itself. */
export async function signCertificate(wish: ToSign, issuer: Issuer | { selfKey: KeyObject }): Promise<Signed> {
  // The subject is built from strings marked UTF-8: given plain strings, the library would interpret backslashes and quotes in them.
  const subject = new x509.Name([
    { O: [{ utf8String: wish.deployment }] },
    { OU: [{ utf8String: wish.role }] },
    { CN: [{ utf8String: wish.id }] },
  ])
  const serial = randomSerial()
  const issuedBy = 'selfKey' in issuer ? undefined : new x509.X509Certificate(issuer.certificate.raw)
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serial,
    subject,
    issuer: issuedBy?.subjectName ?? subject,
    ...wish.validity,
    publicKey: spkiOf(wish.publicKey),
    signingKey: await webCryptoKey('selfKey' in issuer ? issuer.selfKey : issuer.key),
    signingAlgorithm: ecdsaP256,
    extensions: await extensionsOf(wish, issuedBy),
  })
  const der = Buffer.from(certificate.rawData)
  return {
    pem: toPem('CERTIFICATE', der),
    entry: {
      serial,
      cn: wish.id,
      role: wish.role,
      notBefore: wish.validity.notBefore.toISOString(),
      notAfter: wish.validity.notAfter.toISOString(),
      sha256: normalFingerprint(new X509Certificate(der).fingerprint256),
    },
  }
}

async function extensionsOf(
  { role, publicKey, altNames = [] }: ToSign,
  issuedBy: x509.X509Certificate | undefined,
): Promise<x509.Extension[]> {
  const isCa = role === 'root-ca' || role === 'site-ca'
  const { digitalSignature, keyEncipherment, keyCertSign, cRLSign } = x509.KeyUsageFlags
  // TLS 1.2 without forward secrecy encrypts to an RSA key; some old devices know nothing else.
  const leafUsage = publicKey.asymmetricKeyType === 'rsa' ? digitalSignature | keyEncipherment : digitalSignature
  const usages = usagesOfRole[role]
  return [
    isCa
      ? new x509.BasicConstraintsExtension(true, role === 'root-ca' ? 1 : 0, true)
      : new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(isCa ? keyCertSign | cRLSign : leafUsage, true),
    ...(usages.length > 0 ? [new x509.ExtendedKeyUsageExtension([...usages])] : []),
    ...(altNames.length > 0 ? [new x509.SubjectAlternativeNameExtension(altNames)] : []),
    await x509.SubjectKeyIdentifierExtension.create(new x509.PublicKey(spkiOf(publicKey))),
    ...(issuedBy === undefined ? [] : [await authorityKeyIdentifier(issuedBy)]),
  ]
}

/** Names the issuer's key as the issuer's own certificate does, also when another tool made that and hashed differently. */
export async function authorityKeyIdentifier(issuer: x509.X509Certificate): Promise<x509.Extension> {
  const own = issuer.getExtension(x509.SubjectKeyIdentifierExtension)
  return own === null
    ? x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey)
    : new x509.AuthorityKeyIdentifierExtension(own.keyId)
}
