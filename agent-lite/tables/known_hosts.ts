// Hosts that users have connected to over SSH: the lines of known_hosts as they are, hashed names included.
import { join } from 'node:path'
import { usersAskedFor } from '../sources/accounts.ts'
import { orWarn } from '../sources/or-warn.ts'
import { readUserFile } from '../sources/user-file.ts'
import { defineTable } from './define.ts'

const file = '.ssh/known_hosts'

export const knownHosts = defineTable({
  name: 'known_hosts',
  about: 'Lines of known_hosts files. Without a uid, those of the user the agent runs as.',
  origin: 'osquery',
  userData: true,
  columns: {
    uid: { type: 'BIGINT', about: 'User whose file it is', index: true, optimized: true },
    key: { type: 'TEXT', about: 'The whole line: hosts, type and key' },
    key_file: { type: 'TEXT', about: 'File that has the line' },
  },
  examples: ['SELECT u.username, k.key FROM users u JOIN known_hosts k USING (uid)'],
  *read(context) {
    for (const user of usersAskedFor(context)) {
      const text = orWarn(context, () => readUserFile(context.device, user, file)) ?? ''
      for (const line of text.split('\n')) {
        const key = line.trim()
        if (key !== '' && !key.startsWith('#')) yield { uid: user.uid, key, key_file: join(user.directory, file) }
      }
    }
  },
})
