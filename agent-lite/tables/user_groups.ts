// Which user is in which group: the main group of /etc/passwd, then those of /etc/group, as getgrouplist(3) lists them.
import { readGroups, readUsers } from '../sources/accounts.ts'
import { defineTable } from './define.ts'

export const userGroups = defineTable({
  name: 'user_groups',
  about: 'Local users and the groups they are in.',
  origin: 'osquery',
  columns: {
    uid: { type: 'BIGINT', about: 'User id', index: true, optimized: true },
    gid: { type: 'BIGINT', about: 'Group id', index: true },
  },
  examples: ['SELECT gid FROM user_groups WHERE uid = 1000'],
  *read({ device, equals }) {
    const askedUids = equals('uid')
    const askedGids = equals('gid')
    const groups = readGroups(device)
    const seen = new Set<number>()
    for (const { uid, gid: mainGid, username } of readUsers(device)) {
      if (seen.has(uid) || (askedUids.length > 0 && !askedUids.includes(String(uid)))) continue
      seen.add(uid)
      const gids = new Set([mainGid])
      for (const { gid, members } of groups) if (members.includes(username)) gids.add(gid)
      for (const gid of gids) if (askedGids.length === 0 || askedGids.includes(String(gid))) yield { uid, gid }
    }
  },
})
