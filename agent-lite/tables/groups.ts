// Local groups of /etc/group; of several names for one gid only the first is a row, as in osquery.
import { readGroups, signed } from '../sources/accounts.ts'
import { pidWithNamespace, warnOfNamespaces } from '../sources/namespace.ts'
import { defineTable } from './define.ts'

export const groups = defineTable({
  name: 'groups',
  about: 'Local user groups.',
  origin: 'osquery',
  columns: {
    gid: { type: 'BIGINT', about: 'Group id', index: true },
    gid_signed: { type: 'BIGINT', about: 'Group id as a signed 32-bit integer' },
    groupname: { type: 'TEXT', about: 'Name of the group' },
    group_sid: { type: 'TEXT', index: true, hidden: true, foreign: true },
    comment: { type: 'TEXT', hidden: true, foreign: true },
    is_hidden: { type: 'INTEGER', hidden: true, foreign: true },
    pid_with_namespace: pidWithNamespace,
  },
  examples: [
    "SELECT u.username FROM groups JOIN user_groups USING (gid) JOIN users u USING (uid) WHERE groupname = 'dialout'",
  ],
  *read(context) {
    warnOfNamespaces(context)
    const asked = context.equals('gid')
    const seen = new Set<number>()
    for (const { gid, groupname } of readGroups(context.device)) {
      if (seen.has(gid) || (asked.length > 0 && !asked.includes(String(gid)))) continue
      seen.add(gid)
      yield { gid, gid_signed: signed(gid), groupname, pid_with_namespace: 0 }
    }
  },
})
