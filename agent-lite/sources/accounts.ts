// Local accounts, from /etc/passwd and /etc/group (passwd(5), group(5)). Directory services (LDAP, SSSD) are not asked:
// they may block for minutes when the link is down. Lines without a numeric id, such as NIS's `+::::::`, are no accounts.
import type { Device } from './device.ts'

export interface User {
  username: string
  uid: number
  gid: number
  description: string
  directory: string
  shell: string
}

export interface Group {
  groupname: string
  gid: number
  members: string[]
}

export function readUsers(device: Device): User[] {
  return records(device.textIfPresent('/etc/passwd')).flatMap(
    ([username = '', , uid = '', gid = '', description = '', directory = '', shell = '']) =>
      isId(uid) && isId(gid) ? [{ username, uid: Number(uid), gid: Number(gid), description, directory, shell }] : [],
  )
}

export function readGroups(device: Device): Group[] {
  return records(device.textIfPresent('/etc/group')).flatMap(([groupname = '', , gid = '', members = '']) =>
    isId(gid) ? [{ groupname, gid: Number(gid), members: members.split(',').filter((name) => name !== '') }] : [],
  )
}

/** Ids are unsigned 32 bit; osquery also shows them as the signed integer of the same bits. */
export function signed(id: number): number {
  return id | 0
}

function records(text = ''): string[][] {
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split(':'))
}

function isId(text: string): boolean {
  return /^\d{1,10}$/.test(text) && Number(text) <= 0xffff_ffff
}

/**
 * The users whose own files a query is about: those of its uid constraint, else only the one the agent runs as, as in
 * osquery. Without a home folder there is nothing to read.
 */
export function usersAskedFor(context: { device: Device; equals(column: 'uid'): string[] }): User[] {
  const asked = context.equals('uid')
  const uids = asked.length > 0 ? asked : [String(process.getuid?.() ?? 0)]
  return readUsers(context.device).filter((user) => uids.includes(String(user.uid)) && user.directory.startsWith('/'))
}
