// Running processes, from /proc/<pid>. Only the files behind used columns are read; stat comes last, since its presence
// proves that the process lived through the whole read. start_time follows btime at each read, unlike osquery's cached
// boot time: a Raspberry Pi boots without a clock and sets it minutes later.
import { integer } from '../sources/integer.ts'
import { orWarn } from '../sources/or-warn.ts'
import * as procfs from '../sources/procfs.ts'
import { warnOnce } from '../sources/warn-once.ts'
import type { Device } from '../sources/device.ts'
import { defineTable } from './define.ts'

export const processes = defineTable({
  name: 'processes',
  about: 'All running processes on the host system.',
  origin: 'osquery',
  cacheable: true,
  columns: {
    pid: { type: 'BIGINT', about: 'Process (or thread) id', index: true, optimized: true },
    name: { type: 'TEXT', about: 'Name, at most 15 bytes' },
    path: { type: 'TEXT', about: 'Path of the executed file; empty for kernel threads' },
    cmdline: { type: 'TEXT', about: 'Arguments, joined by spaces' },
    state: { type: 'TEXT', about: 'State letter, as in ps' },
    cwd: { type: 'TEXT', about: 'Current working folder' },
    root: { type: 'TEXT', about: 'Root folder' },
    uid: { type: 'BIGINT', about: 'Real user id' },
    gid: { type: 'BIGINT', about: 'Real group id' },
    euid: { type: 'BIGINT', about: 'Effective user id' },
    egid: { type: 'BIGINT', about: 'Effective group id' },
    suid: { type: 'BIGINT', about: 'Saved user id' },
    sgid: { type: 'BIGINT', about: 'Saved group id' },
    on_disk: { type: 'INTEGER', about: 'The executed file still exists: 1 yes, 0 no, -1 unknown' },
    wired_size: { type: 'BIGINT', about: 'Bytes of unpageable memory: always 0 on Linux' },
    resident_size: { type: 'BIGINT', about: 'Bytes of memory in RAM' },
    total_size: { type: 'BIGINT', about: 'Bytes of virtual memory' },
    user_time: { type: 'BIGINT', about: 'Milliseconds of CPU time in user space' },
    system_time: { type: 'BIGINT', about: 'Milliseconds of CPU time in the kernel' },
    disk_bytes_read: { type: 'BIGINT', about: 'Bytes read from storage' },
    disk_bytes_written: { type: 'BIGINT', about: 'Bytes written to storage' },
    start_time: { type: 'BIGINT', about: 'Start in unix seconds, -1 when unknown' },
    parent: { type: 'BIGINT', about: "Parent's process id" },
    pgroup: { type: 'BIGINT', about: 'Process group' },
    threads: { type: 'INTEGER', about: 'Number of threads' },
    nice: { type: 'INTEGER', about: 'Nice level, -20 to 19' },
    elevated_token: { type: 'INTEGER', hidden: true, foreign: true },
    secure_process: { type: 'INTEGER', hidden: true, foreign: true },
    protection_type: { type: 'TEXT', hidden: true, foreign: true },
    virtual_process: { type: 'INTEGER', hidden: true, foreign: true },
    elapsed_time: { type: 'BIGINT', hidden: true, foreign: true },
    handle_count: { type: 'BIGINT', hidden: true, foreign: true },
    percent_processor_time: { type: 'BIGINT', hidden: true, foreign: true },
    upid: { type: 'BIGINT', hidden: true, foreign: true },
    uppid: { type: 'BIGINT', hidden: true, foreign: true },
    cpu_type: { type: 'INTEGER', hidden: true, foreign: true },
    cpu_subtype: { type: 'INTEGER', hidden: true, foreign: true },
    translated: { type: 'INTEGER', hidden: true, foreign: true },
    cgroup_path: { type: 'TEXT', about: 'Path in the first cgroup hierarchy of the process' },
  },
  examples: [
    'SELECT pid, name, resident_size FROM processes ORDER BY resident_size DESC LIMIT 5',
    'SELECT pid, path, cmdline FROM processes WHERE on_disk = 0',
  ],
  *read(context) {
    const { device, isUsed } = context
    const refused = warnOnce(context)
    const usesAny = (columns: readonly Parameters<typeof isUsed>[0][]) => columns.some(isUsed)
    const uses = {
      executable: usesAny(['path', 'on_disk']),
      status: usesAny(statusColumns),
      io: usesAny(['disk_bytes_read', 'disk_bytes_written']),
    }
    const bootSeconds = isUsed('start_time') ? procfs.bootTimeSeconds(device) : undefined

    for (const pid of procfs.processIds(device, context.equals('pid'))) {
      context.checkpoint()
      const folder = `/proc/${pid}`
      const text = (file: string) => orWarn(refused, () => device.textIfPresent(`${folder}/${file}`))
      const link = (name: 'exe' | 'cwd' | 'root') => orWarn(refused, () => device.linkTarget(`${folder}/${name}`) ?? '')

      const executable = uses.executable ? locate(device, folder, link('exe'), refused) : undefined
      const cmdline = isUsed('cmdline') ? text('cmdline') : undefined
      const cgroup = isUsed('cgroup_path') ? text('cgroup') : undefined
      const cwd = isUsed('cwd') ? link('cwd') : undefined
      const root = isUsed('root') ? link('root') : undefined
      const io = uses.io ? storageBytes(text('io')) : undefined
      const status = uses.status ? text('status') : ''
      const stat = procfs.parseStat(text('stat') ?? '')
      if (stat === undefined || status === undefined) continue

      yield {
        pid: integer(pid),
        ...executable,
        cmdline: cmdline === undefined ? null : procfs.parseCommandLine(cmdline),
        cgroup_path: cgroup === undefined ? null : (procfs.parseCgroup(cgroup) ?? ''),
        cwd,
        root,
        ...io,
        ...statusRow(procfs.parseKeyValues(status)),
        state: stat.state,
        parent: integer(stat.parent),
        pgroup: integer(stat.group),
        nice: integer(stat.nice),
        threads: integer(stat.threads),
        wired_size: 0,
        user_time: stat.userTicks * procfs.millisecondsPerTick,
        system_time: stat.systemTicks * procfs.millisecondsPerTick,
        start_time: bootSeconds === undefined ? -1 : procfs.startTimeSeconds(bootSeconds, stat.startTicks),
      }
    }
  },
})

const statusColumns = [
  ...(['name', 'resident_size', 'total_size'] as const),
  ...(['uid', 'gid', 'euid', 'egid', 'suid', 'sgid'] as const),
]

function statusRow(status: Map<string, string>) {
  const bytes = (key: string) => {
    const kibibytes = integer(status.get(key)?.replace(/ kB$/, ''))
    return kibibytes === null ? null : Number(kibibytes) * 1024
  }
  const [uid, euid, suid] = (status.get('Uid') ?? '').split('\t').map(integer)
  const [gid, egid, sgid] = (status.get('Gid') ?? '').split('\t').map(integer)
  const sizes = { resident_size: bytes('VmRSS'), total_size: bytes('VmSize') }
  return { name: status.get('Name'), ...sizes, uid, euid, suid, gid, egid, sgid }
}

function storageBytes(text: string | undefined) {
  const io = procfs.parseKeyValues(text ?? '')
  const read = integer(io.get('read_bytes'))
  const written = integer(io.get('write_bytes'))
  const cancelled = integer(io.get('cancelled_write_bytes'))
  return { disk_bytes_read: read, disk_bytes_written: written === null ? null : Number(written) - Number(cancelled) }
}

const deletedMark = ' (deleted)'

/**
 * Path and fate of the executed file. The kernel marks a deleted file by a suffix that may as well be part of the name
 * of one that exists; then the inode of the mapping decides.
 */
function locate(device: Device, folder: string, link: string | undefined, refused: { warn(message: string): void }) {
  if (!link) return { path: link, on_disk: -1 }
  const file = orWarn(refused, () => device.stat(link) ?? null)
  if (file === undefined) return { path: link, on_disk: -1 }
  if (!link.endsWith(deletedMark)) return { path: link, on_disk: file === null ? 0 : 1 }
  const gone = { path: link.slice(0, -deletedMark.length), on_disk: 0 }
  if (file === null) return gone
  const maps = orWarn(refused, () => device.textIfPresent(`${folder}/maps`))
  if (maps === undefined) return { path: link, on_disk: -1 }
  return procfs.mappedInode(maps, link) === String(file.ino) ? { path: link, on_disk: 1 } : gone
}
