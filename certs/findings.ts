// Everything `tidegate certs inspect` can find, as data: a stable code, how bad it is, what is wrong and how to mend it.

export type Severity = 'error' | 'warning' | 'note'

const severities = {
  FILE_UNREADABLE: 'error',
  FILE_EMPTY: 'error',
  FILE_UTF16: 'error',
  FILE_BOM: 'warning',
  FILE_NOT_PEM: 'error',
  FILE_IS_DER: 'error',
  FILE_IS_PKCS12: 'error',
  PEM_CRLF: 'warning',
  PEM_ESCAPED_NEWLINES: 'error',
  PEM_BOUNDARY_MANGLED: 'error',
  PEM_NO_BEGIN: 'error',
  PEM_NO_END: 'error',
  PEM_LABELS_DIFFER: 'error',
  PEM_BASE64: 'error',
  PEM_TRUNCATED: 'error',
  PEM_EXTRA_BYTES: 'error',
  PEM_UNKNOWN_LABEL: 'error',
  PEM_TEXT_OUTSIDE: 'note',
  PEM_LAYOUT: 'note',
  KIND_UNEXPECTED: 'error',
  KEY_BESIDE_CERTIFICATE: 'warning',
  CERTIFICATE_UNREADABLE: 'error',
  CERTIFICATE_EXPIRED: 'error',
  CERTIFICATE_NOT_YET_VALID: 'error',
  CERTIFICATE_EXPIRES_SOON: 'warning',
  CERTIFICATE_REVOKED: 'error',
  SUBJECT_INVALID: 'error',
  ISSUER_INVALID: 'error',
  ROLE_WRONG: 'error',
  USAGE_WRONG: 'error',
  CA_FLAG_WRONG: 'error',
  NAME_MISSING: 'error',
  SIGNATURE_WEAK: 'error',
  CHAIN_ORDER: 'error',
  CHAIN_BROKEN: 'error',
  CHAIN_INCOMPLETE: 'warning',
  CHAIN_UNCHECKED: 'note',
  ISSUER_UNKNOWN: 'error',
  KEY_UNREADABLE: 'error',
  KEY_ENCRYPTED: 'error',
  KEY_WEAK: 'error',
  KEY_MISMATCH: 'error',
  KEY_INCONSISTENT: 'error',
  KEY_ENCODING: 'note',
  KEY_TOO_OPEN: 'error',
  CRL_INVALID: 'error',
  CRL_STALE: 'warning',
  CRL_NOT_YET_VALID: 'warning',
  CRL_UNCHECKED: 'note',
  CRL_BEHIND_INDEX: 'error',
  REQUEST_INVALID: 'error',
} as const satisfies Record<string, Severity>

export type FindingCode = keyof typeof severities

export interface Finding {
  code: FindingCode
  severity: Severity
  message: string
  /** How to mend it: a command, or what to ask for. */
  hint: string
}

export function finding(code: FindingCode, message: string, hint: string): Finding {
  return { code, severity: severities[code], message, hint }
}
