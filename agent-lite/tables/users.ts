// Local accounts of /etc/passwd. osquery asks directory services when include_remote = 1; this agent cannot, and says so.
// uuid exists on macOS only: always NULL here, though its spec has it as an index.
import { readUsers, signed } from '../sources/accounts.ts'
import { pidWithNamespace, warnOfNamespaces } from '../sources/namespace.ts'
import { defineTable } from './define.ts'

export const users = defineTable({
  name: 'users',
  about: 'Local user accounts.',
  origin: 'osquery',
  columns: {
    uid: { type: 'BIGINT', about: 'User id', index: true },
    gid: { type: 'BIGINT', about: 'Id of the main group' },
    uid_signed: { type: 'BIGINT', about: 'User id as a signed 32-bit integer' },
    gid_signed: { type: 'BIGINT', about: 'Id of the main group as a signed 32-bit integer' },
    username: { type: 'TEXT', about: 'Login name', additional: true },
    description: { type: 'TEXT', about: 'Full name or purpose (GECOS)' },
    directory: { type: 'TEXT', about: 'Home directory' },
    shell: { type: 'TEXT', about: 'Login shell' },
    uuid: { type: 'TEXT', about: 'macOS only, NULL here', index: true, collate: 'NOCASE' },
    type: { type: 'TEXT', hidden: true, foreign: true },
    is_hidden: { type: 'INTEGER', hidden: true, foreign: true },
    pid_with_namespace: pidWithNamespace,
    include_remote: {
      type: 'INTEGER',
      about: '1 asks for accounts of directory services too, which this agent does not read',
      additional: true,
      hidden: true,
    },
  },
  examples: ["SELECT username, shell FROM users WHERE shell NOT LIKE '%nologin' AND uid >= 1000"],
  *read(context) {
    warnOfNamespaces(context)
    const includeRemote = context.equals('include_remote').includes('1') ? 1 : 0
    if (includeRemote) context.warn('include_remote = 1: only local accounts (/etc/passwd) can be read')
    const uids = context.equals('uid')
    const usernames = context.equals('username')
    for (const user of readUsers(context.device)) {
      if (uids.length > 0 && !uids.includes(String(user.uid))) continue
      if (usernames.length > 0 && !usernames.includes(user.username)) continue
      yield {
        ...user,
        uid_signed: signed(user.uid),
        gid_signed: signed(user.gid),
        uuid: null,
        pid_with_namespace: 0,
        include_remote: includeRemote,
      }
    }
  },
})
