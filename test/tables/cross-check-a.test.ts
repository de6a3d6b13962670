// Tables of this machine against its own tools: what the agent reads must be what the administrator sees.
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { expect, test } from 'vitest'
import { cpuTime } from '../../agent-lite/tables/cpu_time.ts'
import { debPackages } from '../../agent-lite/tables/deb_packages.ts'
import { groups } from '../../agent-lite/tables/groups.ts'
import { kernelInfo } from '../../agent-lite/tables/kernel_info.ts'
import { memoryInfo } from '../../agent-lite/tables/memory_info.ts'
import { mounts } from '../../agent-lite/tables/mounts.ts'
import { osVersion } from '../../agent-lite/tables/os_version.ts'
import { suidBin } from '../../agent-lite/tables/suid_bin.ts'
import { systemInfo } from '../../agent-lite/tables/system_info.ts'
import { time } from '../../agent-lite/tables/time.ts'
import { uptime } from '../../agent-lite/tables/uptime.ts'
import { userGroups } from '../../agent-lite/tables/user_groups.ts'
import { users } from '../../agent-lite/tables/users.ts'
import { readTable } from '../support/read-table.ts'

const run = (file: string, ...args: string[]) =>
  execFileSync(file, args, { encoding: 'utf8', env: { PATH: process.env['PATH'], LC_ALL: 'C' } }).trimEnd()
const lines = (text: string) => text.split('\n').filter((line) => line !== '')
const join = (values: unknown[]) => values.map(String).join('|')

/** Runs `read` between two calls of `tool`, for values that move. */
function between<T>(tool: () => number, read: () => T): { low: number; value: T; high: number } {
  const low = tool()
  const value = read()
  return { low, value, high: tool() }
}

if (existsSync('/var/lib/dpkg/status'))
  test('deb_packages has the rows of dpkg-query', () => {
    const fields =
      '${Package}|${Version}|${Architecture}|${Status}|${Section}|${Priority}|${Installed-Size}|${Maintainer}\\n'
    const { rows } = readTable(debPackages)
    const own = rows.map((row) =>
      join(
        ['name', 'version', 'arch', 'status', 'section', 'priority', 'size', 'maintainer'].map(
          (name) => row[name] ?? '',
        ),
      ),
    )
    expect(own.sort()).toEqual(lines(run('dpkg-query', '-W', '-f', fields)).sort())
  })

test('users has the local accounts that getent lists', () => {
  const own = readTable(users).rows.map((row) =>
    [row['username'], 'x', row['uid'], row['gid'], row['description'], row['directory'], row['shell']]
      .map(String)
      .join(':'),
  )
  expect(own.sort()).toEqual(lines(run('getent', '-s', 'files', 'passwd')).sort())
})

test('groups has the local groups that getent lists', () => {
  const own = readTable(groups).rows.map((row) => `${String(row['groupname'])} ${String(row['gid'])}`)
  const theirs = lines(run('getent', '-s', 'files', 'group')).map((line) => {
    const [name = '', , gid = ''] = line.split(':')
    return `${name} ${gid}`
  })
  expect(own.sort()).toEqual(theirs.sort())
})

test('user_groups has the groups that id prints', () => {
  for (const { uid, username } of readTable(users).rows) {
    const own = readTable(userGroups, { where: { uid: [String(uid)] } }).rows.map((row) => String(row['gid']))
    expect(own.sort(), String(username)).toEqual(run('id', '-G', String(username)).split(' ').sort())
  }
})

test('mounts has every mount, with the sizes that stat -f measures', () => {
  const { rows } = readTable(mounts)
  expect(rows.length).toBe(lines(run('cat', '/proc/mounts')).length)
  for (const row of rows.filter(({ type }) => type !== 'autofs')) {
    const path = String(row['path'])
    const [size, blocks, inodes] = run('stat', '-f', '-c', '%s %b %c', path).split(' ')
    expect([row['blocks_size'], row['blocks'], row['inodes']].map(String), path).toEqual([size, blocks, inodes])
  }
})

test('suid_bin has the files that find finds by their mode', () => {
  const folders = ['/bin', '/sbin', '/usr/bin', '/usr/sbin', '/usr/local/bin', '/usr/local/sbin']
  const found = folders.filter(existsSync).flatMap((folder) => {
    const paths = lines(run('find', `${folder}/`, '-perm', '/6000', '-type', 'f'))
    const linked = lines(
      run(
        'find',
        `${folder}/`,
        '-type',
        'l',
        '-exec',
        'find',
        '-L',
        '{}',
        '-maxdepth',
        '0',
        '-perm',
        '/6000',
        '-type',
        'f',
        ';',
      ),
    )
    return [...paths, ...linked]
  })
  const own = readTable(suidBin).rows.map((row) => String(row['path']))
  expect(own.filter((path) => !path.startsWith('/tmp/')).sort()).toEqual(found.sort())
})

test('kernel, system, memory and processor tables agree with uname, getconf and os-release', () => {
  expect(readTable(kernelInfo).rows[0]).toMatchObject({ version: run('uname', '-r') })
  const osRelease = (name: string) => run('sh', '-c', `. /etc/os-release; printf %s "$${name}"`)
  expect(readTable(osVersion).rows[0]).toMatchObject({
    name: osRelease('NAME'),
    platform: osRelease('ID'),
    codename: osRelease('VERSION_CODENAME'),
    arch: run('uname', '-m'),
  })
  const memory = Number(run('getconf', '_PHYS_PAGES')) * Number(run('getconf', 'PAGESIZE'))
  expect(readTable(memoryInfo).rows[0]).toMatchObject({ memory_total: memory })
  expect(readTable(systemInfo).rows[0]).toMatchObject({
    cpu_type: run('uname', '-m'),
    computer_name: run('uname', '-n'),
    cpu_logical_cores: Number(run('getconf', '_NPROCESSORS_ONLN')),
    physical_memory: memory,
  })
  expect(readTable(cpuTime).rows).toHaveLength(Number(run('getconf', '_NPROCESSORS_ONLN')))
})

test('time and uptime lie between what the tools say before and after', () => {
  const clock = between(
    () => Number(run('date', '+%s')),
    () => readTable(time).rows[0],
  )
  expect(clock.value?.['unix_time']).toBeGreaterThanOrEqual(clock.low)
  expect(clock.value?.['unix_time']).toBeLessThanOrEqual(clock.high)
  expect(clock.value).toMatchObject({
    iso_8601: run('date', '-u', '-d', `@${String(clock.value?.['unix_time'])}`, '+%FT%TZ'),
    timestamp: run('date', '-u', '-d', `@${String(clock.value?.['unix_time'])}`, '+%a %b %e %T %Y UTC'),
    local_timezone: run('date', '+%Z'),
  })
  const up = between(
    () => Number.parseFloat(run('cat', '/proc/uptime')),
    () => readTable(uptime).rows[0],
  )
  expect(up.value?.['total_seconds']).toBeGreaterThanOrEqual(up.low)
  expect(up.value?.['total_seconds']).toBeLessThan(up.high + 1)
})
