// How serials, fingerprints and PEM are written. No X.509 library is imported here, because the agent's bundle carries this file.

/** Serials as Node, OpenSSL and CRLs write them, made comparable: lower-case hex without leading zeros or colons. */
export function normalSerial(serial: string): string {
  return serial
    .toLowerCase()
    .replaceAll(':', '')
    .replace(/^0+(?=.)/, '')
}

/** Fingerprints as Node writes them, made comparable: lower-case hex without colons. */
export function normalFingerprint(fingerprint: string): string {
  return fingerprint.toLowerCase().replaceAll(':', '')
}

/** PEM with 64 columns and a final newline (RFC 7468). */
export function toPem(label: string, der: Uint8Array | ArrayBuffer): string {
  const base64 = Buffer.from(der as Uint8Array).toString('base64')
  return `-----BEGIN ${label}-----\n${(base64.match(/.{1,64}/g) ?? []).join('\n')}\n-----END ${label}-----\n`
}
