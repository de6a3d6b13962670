// Reads PEM (RFC 7468) strictly and says what is wrong with it. Programs read PEM through OpenSSL, which is lenient here and silent there;
// this reader exists for inspect, and any text but the one OpenSSL itself would write leaves at least a note.
import { toPem } from './encodings.ts'
import { finding } from './findings.ts'
import type { Finding } from './findings.ts'

export interface PemBlock {
  label: string
  der: Buffer
}

export interface PemReading {
  blocks: PemBlock[]
  findings: Finding[]
}

const boundary = /^-----(BEGIN|END) ([A-Z0-9][A-Z0-9 ]{0,60})-----$/
const getAgain = 'copy the file again, whole and in binary mode'

/** All blocks that can be read, and everything that is wrong with the text around and in them. Never throws. */
export function readPem(bytes: Buffer): PemReading {
  const findings: Finding[] = []
  const text = normalText(bytes, findings)
  const blocks: PemBlock[] = []
  let open: { label: string; lineNumber: number; body: string[] } | undefined
  let outside = 0

  const close = (endLabel: string, lineNumber: number) => {
    if (open === undefined) {
      findings.push(finding('PEM_NO_BEGIN', `line ${lineNumber} ends a ${endLabel} that never began`, getAgain))
      return
    }
    if (endLabel !== open.label) {
      findings.push(
        finding(
          'PEM_LABELS_DIFFER',
          `a block begins as ${open.label} (line ${open.lineNumber}) and ends as ${endLabel} (line ${lineNumber})`,
          getAgain,
        ),
      )
    }
    const der = decodeBody(open.body, open.lineNumber, findings)
    if (der !== undefined) blocks.push({ label: open.label, der })
    open = undefined
  }
  const missingEnd = () => {
    if (open !== undefined) {
      findings.push(
        finding(
          'PEM_NO_END',
          `the ${open.label} that begins in line ${open.lineNumber} has no END line: the file is cut off`,
          getAgain,
        ),
      )
    }
  }

  for (const [index, line] of text.split('\n').entries()) {
    const [, kind, label = ''] = boundary.exec(line.trim()) ?? []
    if (kind === 'BEGIN') {
      missingEnd()
      open = { label, lineNumber: index + 1, body: [] }
    } else if (kind === 'END') {
      close(label, index + 1)
    } else if (/\b(BEGIN|END)\b/i.test(line) && /[-‐-―]/.test(line)) {
      findings.push(
        finding(
          'PEM_BOUNDARY_MANGLED',
          `line ${index + 1} should be a BEGIN or END line and is ${JSON.stringify(line.slice(0, 60))}`,
          'it has exactly five plain hyphens on each side, and capital letters; word processors and mail change that',
        ),
      )
      // What follows a mangled BEGIN would otherwise be reported line by line.
      open = /begin/i.test(line) ? { label: 'UNKNOWN', lineNumber: index + 1, body: [] } : undefined
    } else if (open !== undefined) {
      open.body.push(line.trim())
    } else if (line.trim() !== '') {
      outside += 1
    }
  }
  missingEnd()

  if (blocks.length === 0 && findings.every(({ severity }) => severity !== 'error')) findings.push(notPem(text))
  else if (outside > 0) {
    findings.push(
      finding(
        'PEM_TEXT_OUTSIDE',
        `${outside} line(s) outside the PEM blocks are ignored`,
        'nothing to do, unless they should have been part of a block',
      ),
    )
  }
  if (findings.length === 0 && text !== blocks.map(({ label, der }) => toPem(label, der)).join('')) {
    findings.push(
      finding(
        'PEM_LAYOUT',
        'lines are not broken after 64 characters, or blank lines or spaces stand between them; strict readers refuse that',
        'openssl x509 -in FILE -out NEW writes it anew (openssl pkey for keys)',
      ),
    )
  }
  return { blocks, findings }
}

function normalText(bytes: Buffer, findings: Finding[]): string {
  let text: string
  if ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff)) {
    findings.push(
      finding(
        'FILE_UTF16',
        'the file is UTF-16 text, as some Windows editors and PowerShell write it',
        'iconv -f UTF-16 -t ASCII FILE > NEW',
      ),
    )
    const even = bytes.subarray(2, bytes.length - (bytes.length % 2))
    text = (bytes[0] === 0xff ? even : Buffer.from(even).swap16()).toString('utf16le')
  } else {
    text = bytes.toString('utf8')
    if (text.startsWith('\ufeff')) {
      findings.push(
        finding(
          'FILE_BOM',
          'the file begins with a byte order mark; some readers then miss the first BEGIN line',
          "sed -i '1s/^\\xEF\\xBB\\xBF//' FILE",
        ),
      )
      text = text.slice(1)
    }
  }
  if (text.includes('\r')) {
    findings.push(
      finding(
        'PEM_CRLF',
        'lines end with carriage returns (Windows); some devices do not read that',
        "sed -i 's/\\r$//' FILE",
      ),
    )
    text = text.replaceAll(/\r\n?/g, '\n')
  }
  if (/BEGIN [A-Z0-9 ]+-----\\n/.test(text)) {
    findings.push(
      finding(
        'PEM_ESCAPED_NEWLINES',
        'line breaks are written as the two characters \\n, as in JSON or an environment variable',
        'printf \'%b\' "$(cat FILE)" > NEW',
      ),
    )
    text = text.replaceAll('\\n', '\n')
  }
  return text
}

function decodeBody(lines: string[], beginLine: number, findings: Finding[]): Buffer | undefined {
  if (lines.some((line) => /^(Proc-Type|DEK-Info):/.test(line))) {
    findings.push(
      finding(
        'KEY_ENCRYPTED',
        `the key that begins in line ${beginLine} is protected by a passphrase, which no service can type`,
        'openssl pkey -in FILE -out NEW, and chmod 600 NEW',
      ),
    )
    return undefined
  }
  const strange = lines.findIndex((line) => /[^A-Za-z0-9+/=]/.test(line))
  if (strange >= 0) {
    findings.push(
      finding(
        'PEM_BASE64',
        `line ${beginLine + 1 + strange} holds characters that are not base64: ${JSON.stringify(lines[strange]?.slice(0, 70))}`,
        getAgain,
      ),
    )
    return undefined
  }
  const base64 = lines.join('')
  const der = Buffer.from(base64, 'base64')
  if (der.toString('base64') !== base64) {
    findings.push(
      finding(
        'PEM_BASE64',
        `the block that begins in line ${beginLine} is not whole base64: characters are missing, added or changed`,
        getAgain,
      ),
    )
    return undefined
  }
  const expected = derLength(der)
  if (expected === undefined) {
    findings.push(
      finding(
        'PEM_TRUNCATED',
        `the block that begins in line ${beginLine} (${der.length} bytes) does not begin as certificates and keys do`,
        getAgain,
      ),
    )
  } else if (der.length < expected) {
    findings.push(
      finding(
        'PEM_TRUNCATED',
        `the block that begins in line ${beginLine} has ${der.length} of ${expected} bytes: lines are missing`,
        getAgain,
      ),
    )
  } else if (der.length > expected) {
    findings.push(
      finding(
        'PEM_EXTRA_BYTES',
        `the block that begins in line ${beginLine} has ${der.length - expected} bytes too many`,
        getAgain,
      ),
    )
  }
  return der
}

/** Total length that the header of a DER SEQUENCE announces, or undefined when the bytes are not one. */
export function derLength(der: Buffer): number | undefined {
  const [tag, first] = der
  if (tag !== 0x30 || first === undefined) return undefined
  if (first < 0x80) return 2 + first
  const lengthBytes = first & 0x7f
  if (lengthBytes === 0 || lengthBytes > 4 || der.length < 2 + lengthBytes) return undefined
  return 2 + lengthBytes + der.readUIntBE(2, lengthBytes)
}

function notPem(text: string): Finding {
  const start = text.trimStart().slice(0, 40)
  if (start === '') return finding('FILE_EMPTY', 'the file is empty', getAgain)
  if (/^(ssh-|ecdsa-sha2-)/.test(start)) {
    return finding(
      'FILE_NOT_PEM',
      'the file is an OpenSSH public key',
      'a TLS certificate is something else: tidegate certs issue --help',
    )
  }
  return finding(
    'FILE_NOT_PEM',
    `the file holds no PEM block (-----BEGIN …); it begins ${JSON.stringify(start)}`,
    'give the file that holds the certificate or key itself',
  )
}
