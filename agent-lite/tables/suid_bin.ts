// Programs that run with the rights of their owner or group, whoever starts them. The folders are osquery's; with /bin a
// link to /usr/bin a program is listed under both, as there. Links to files are followed, links to folders are not.
import { readGroups, readUsers } from '../sources/accounts.ts'
import { pidWithNamespace, warnOfNamespaces } from '../sources/namespace.ts'
import { orWarn } from '../sources/or-warn.ts'
import { defineTable } from './define.ts'

const folders = ['/bin', '/sbin', '/usr/bin', '/usr/sbin', '/usr/local/bin', '/usr/local/sbin', '/tmp']
const setuid = 0o4000n
const setgid = 0o2000n

export const suidBin = defineTable({
  name: 'suid_bin',
  about: 'Files with the setuid or setgid bit in the usual folders of programs and in /tmp.',
  origin: 'osquery',
  cacheable: true,
  columns: {
    path: { type: 'TEXT', about: 'Path of the file' },
    username: { type: 'TEXT', about: 'Owner, as a number when it has no name' },
    groupname: { type: 'TEXT', about: 'Group, as a number when it has no name' },
    permissions: { type: 'TEXT', about: 'S for setuid, G for setgid, SG for both' },
    pid_with_namespace: pidWithNamespace,
  },
  examples: ["SELECT path, username FROM suid_bin WHERE permissions LIKE '%S%'"],
  *read(context) {
    warnOfNamespaces(context)
    const { device } = context
    const usernames = new Map([...readUsers(device)].reverse().map(({ uid, username }) => [String(uid), username]))
    const groupnames = new Map([...readGroups(device)].reverse().map(({ gid, groupname }) => [String(gid), groupname]))
    for (const folder of folders) {
      const waiting = [folder]
      for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
        const inside = next
        context.checkpoint()
        for (const name of orWarn(context, () => device.names(inside)) ?? []) {
          context.checkpoint()
          const path = `${inside}/${name}`
          const own = orWarn(context, () => device.lstat(path))
          if (own?.isDirectory()) waiting.push(path)
          const stat = own?.isSymbolicLink() ? orWarn(context, () => device.stat(path)) : own
          if (!stat?.isFile() || (stat.mode & (setuid | setgid)) === 0n) continue
          const [uid, gid] = [String(stat.uid), String(stat.gid)]
          yield {
            path,
            username: usernames.get(uid) ?? uid,
            groupname: groupnames.get(gid) ?? gid,
            permissions: (stat.mode & setuid ? 'S' : '') + (stat.mode & setgid ? 'G' : ''),
            pid_with_namespace: 0,
          }
        }
      }
    }
  },
})
