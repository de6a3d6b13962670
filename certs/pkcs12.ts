// PKCS#12 (RFC 7292) for browsers, which import certificate and key only in this form. node-forge's own toPkcs12Asn1 takes RSA keys and
// certificates only, so the bags are put together here from its ASN.1 pieces, around the DER that OpenSSL gave us: any key kind works.
import { createPrivateKey, X509Certificate } from 'node:crypto'
import forge from 'node-forge'

const { asn1, pki } = forge

export interface Pkcs12Wish {
  /** Leaf first, then intermediates. */
  certificates: readonly X509Certificate[]
  keyPem: string
  /** Printable ASCII: readers disagree on the encoding of anything else. */
  password: string
  /** What the browser calls it. */
  name: string
  /**
   * `modern`: AES-256 and SHA-256, read by Firefox, Chrome, Windows 10 and later, OpenSSL 3. `legacy`: 3DES and SHA-1, for older Windows
   * and the macOS keychain; weak, so only with a long password.
   */
  protection: 'modern' | 'legacy'
}

/** Both schemes stretch the password this often; in plain JavaScript it takes about a third of a second each. */
const iterations = 20_000
const saltBytes = 16

export function makePkcs12({ certificates, keyPem, password, name, protection }: Pkcs12Wish): Buffer {
  const isModern = protection === 'modern'
  const [leaf] = certificates
  // The same id on key and certificate tells the reader which belong together.
  const localKeyId = binary(Buffer.from((leaf as X509Certificate).fingerprint.replaceAll(':', ''), 'hex'))
  const attributes = set([
    sequence([oid('localKeyId'), set([octets(localKeyId)])]),
    sequence([oid('friendlyName'), set([primitive(asn1.Type.BMPSTRING, name)])]),
  ])
  const pkcs8 = asn1.fromDer(binary(createPrivateKey(keyPem).export({ type: 'pkcs8', format: 'der' })))
  const shroudedKey = pki.encryptPrivateKeyInfo(pkcs8, password, {
    algorithm: isModern ? 'aes256' : '3des',
    count: iterations,
    saltSize: saltBytes,
    ...(isModern ? { prfAlgorithm: 'sha256' } : {}),
  })
  const safe = asn1
    .toDer(
      sequence([
        data(sequence(certificates.map((one, index) => certificateBag(one, index === 0 ? [attributes] : [])))),
        data(sequence([sequence([oid('pkcs8ShroudedKeyBag'), explicit(shroudedKey), attributes])])),
      ]),
    )
    .getBytes()
  const pfx = sequence([integer(3), data(safe), mac(safe, password, isModern)])
  return Buffer.from(asn1.toDer(pfx).getBytes(), 'binary')
}

function certificateBag(certificate: X509Certificate, attributes: forge.asn1.Asn1[]): forge.asn1.Asn1 {
  return sequence([
    oid('certBag'),
    explicit(sequence([oid('x509Certificate'), explicit(octets(binary(certificate.raw)))])),
    ...attributes,
  ])
}

/** MacData: what tells a wrong password, or a changed file, from the right one. */
function mac(content: string, password: string, isModern: boolean): forge.asn1.Asn1 {
  const digest = isModern ? forge.md.sha256.create() : forge.md.sha1.create()
  const salt = forge.random.getBytesSync(saltBytes)
  const key = forge.pkcs12.generateKey(
    password,
    forge.util.createBuffer(salt),
    3,
    iterations,
    digest.digestLength,
    digest,
  )
  const hmac = forge.hmac.create()
  hmac.start(isModern ? 'sha256' : 'sha1', key)
  hmac.update(content)
  const algorithm = sequence([oid(isModern ? 'sha256' : 'sha1'), primitive(asn1.Type.NULL, '')])
  return sequence([sequence([algorithm, octets(hmac.getMac().getBytes())]), octets(salt), integer(iterations)])
}

const { UNIVERSAL, CONTEXT_SPECIFIC } = asn1.Class
const primitive = (type: forge.asn1.Type, value: string) => asn1.create(UNIVERSAL, type, false, value)
const sequence = (items: forge.asn1.Asn1[]) => asn1.create(UNIVERSAL, asn1.Type.SEQUENCE, true, items)
const set = (items: forge.asn1.Asn1[]) => asn1.create(UNIVERSAL, asn1.Type.SET, true, items)
const explicit = (item: forge.asn1.Asn1) => asn1.create(CONTEXT_SPECIFIC, 0 as forge.asn1.Type, true, [item])
const octets = (bytes: string) => primitive(asn1.Type.OCTETSTRING, bytes)
const integer = (value: number) => primitive(asn1.Type.INTEGER, asn1.integerToDer(value).getBytes())
const oid = (name: string) => primitive(asn1.Type.OID, asn1.oidToDer(pki.oids[name] as string).getBytes())
/** ContentInfo of the kind `data`. */
const data = (content: forge.asn1.Asn1 | string) =>
  sequence([oid('data'), explicit(octets(typeof content === 'string' ? content : asn1.toDer(content).getBytes()))])

/** node-forge carries bytes in strings, one per character. */
const binary = (bytes: Buffer) => bytes.toString('binary')
