// Keys that may log in over SSH, per user. Options are told from keys as sshd(8) does it. Unlike osquery, which passes
// over them, security keys (sk-…), DSA keys and certificates are rows too: they open the door as well.
import { join } from 'node:path'
import { usersAskedFor } from '../sources/accounts.ts'
import { pidWithNamespace, warnOfNamespaces } from '../sources/namespace.ts'
import { orWarn } from '../sources/or-warn.ts'
import { readUserFile } from '../sources/user-file.ts'
import { defineTable } from './define.ts'

const files = ['.ssh/authorized_keys', '.ssh/authorized_keys2']
const keyType =
  /^(?:(?:ssh-(?:rsa|dss|ed25519)|ecdsa-sha2-nistp(?:256|384|521))(?:-cert-v01@openssh\.com)?|sk-(?:ssh-ed25519|ecdsa-sha2-nistp256)(?:-cert-v01)?@openssh\.com)$/

export const authorizedKeys = defineTable({
  name: 'authorized_keys',
  about: 'Public keys that may log in over SSH. Without a uid, those of the user the agent runs as.',
  origin: 'osquery',
  userData: true,
  columns: {
    uid: { type: 'BIGINT', about: 'User who may be logged in as', additional: true },
    algorithm: { type: 'TEXT', about: 'Type of the key' },
    key: { type: 'TEXT', about: 'Public key in base64' },
    options: { type: 'TEXT', about: 'Restrictions before the key, such as from="…" or command="…"' },
    comment: { type: 'TEXT', about: 'What follows the key' },
    key_file: { type: 'TEXT', about: 'File that has the key' },
    pid_with_namespace: pidWithNamespace,
  },
  examples: ['SELECT u.username, k.algorithm, k.comment FROM users u JOIN authorized_keys k USING (uid)'],
  *read(context) {
    warnOfNamespaces(context)
    for (const user of usersAskedFor(context))
      for (const file of files) {
        const text = orWarn(context, () => readUserFile(context.device, user, file)) ?? ''
        for (const line of text.split('\n')) {
          const key = parseLine(line.trim())
          if (key) yield { uid: user.uid, ...key, key_file: join(user.directory, file), pid_with_namespace: 0 }
        }
      }
  },
})

function parseLine(line: string) {
  if (line === '' || line.startsWith('#')) return undefined
  const bare = splitKey(line)
  if (bare) return { ...bare, options: null }
  const options = /^(?:"(?:\\.|[^"\\])*"|[^\s"])+/.exec(line)?.[0] // blanks count only outside quotes
  const restricted = options === undefined ? undefined : splitKey(line.slice(options.length).trimStart())
  return restricted && { ...restricted, options }
}

function splitKey(text: string) {
  const [, algorithm, key, comment] = /^(\S+)[ \t]+(\S+)(?:[ \t]+(.*))?$/.exec(text) ?? []
  if (algorithm === undefined || key === undefined || !keyType.test(algorithm)) return undefined
  return { algorithm, key, comment: comment ?? null }
}
