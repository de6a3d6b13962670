import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { loadAgentConfig } from './config.ts'

let folder: string
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'agent-config-'))))
afterEach(() => rmSync(folder, { recursive: true }))

const minimal = {
  site: 'plant-a',
  gateway: 'gateway.plant:8883',
  tls: { ca: 'ca.pem', cert: 'cert.pem', key: '/etc/tidegate/key.pem' },
  dataDir: 'data',
}

function load(more: object, hostname = 'press-2') {
  const path = join(folder, 'agent.yaml')
  writeFileSync(path, stringify({ ...minimal, ...more }))
  return loadAgentConfig(path, { hostname })
}

function problemsOf(more: object): string[] {
  try {
    load(more)
  } catch (error) {
    expect(error).toMatchObject({ code: 'CONFIG_INVALID', exit: 'config' })
    return (error as Error).message
      .replace(`${join(folder, 'agent.yaml')}: `, '')
      .split('\n  - ')
      .filter((line) => line !== '')
  }
  return []
}

describe('agent.yaml', () => {
  test('needs only site, gateway, tls and dataDir; the rest has defaults and paths become absolute', () => {
    const config = load({})
    expect(config).toMatchObject({
      gateway: { host: 'gateway.plant', port: 8883 },
      tls: { ca: join(folder, 'ca.pem'), key: '/etc/tidegate/key.pem' },
      dataDir: join(folder, 'data'),
      trust: { centre: [], plant: [] },
      outbox: { maxBytes: 67_108_864 },
      link: { keepalive: 60_000, maxInFlight: 4 },
      query: { timeout: 60_000 },
      results: { freshness: 3_600_000 },
      warnings: [],
    })
    expect(config.schedule.map(({ name }) => name)).toContain('pack_inventory_deb_packages')
  })

  test('names every problem at once, and the nearest key for one that is misspelt', () => {
    const problems = problemsOf({
      site: 'Plant A',
      gateway: 'gateway.plant',
      lables: ['x'],
      link: { keepalive: '1s' },
      schedule: { a: { query: 'SELECT 1', intervall: 60 }, b: { query: ' ', interval: 0 } },
      packs: { p: { queries: { c: { query: 'SELECT 1', interval: 604_801 } } } },
    })
    expect(problems).toEqual(
      [
        "(top level): unknown key 'lables': did you mean 'labels'?",
        'site (is "Plant A"): must match [a-z0-9][a-z0-9-]{0,62}',
        'gateway (is "gateway.plant"): must be host:port, for example gateway.plant:8883',
        'link.keepalive (is "1s"): must be 5s to 1h',
        "schedule.a: unknown key 'intervall': did you mean 'interval'?",
        'schedule.b.query (is " "): is empty',
        'schedule.b.interval (is 0): must be a whole number from 1 to 604800',
        'packs.p.queries.c.interval (is 604801): must be a whole number from 1 to 604800',
      ].sort(byText(problems)),
    )
  })
})

describe('schedule and packs', () => {
  test('have the names and defaults that osquery gives them', () => {
    const config = load({
      schedule: { bare: { query: 'SELECT 1' } },
      packs: {
        inv: {
          discovery: ['SELECT 1 FROM processes'],
          queries: {
            ports: { query: 'SELECT * FROM listening_ports', interval: '60', snapshot: 'true', removed: false },
          },
        },
      },
    })
    expect(config.schedule).toEqual([
      {
        name: 'bare',
        sql: 'SELECT 1',
        intervalMs: 3_600_000,
        splayPercent: 10,
        mode: 'differential',
        logRemoved: true,
        mayBeDenied: true,
        discovery: [],
      },
      {
        name: 'pack_inv_ports',
        sql: 'SELECT * FROM listening_ports',
        intervalMs: 60_000,
        splayPercent: 10,
        mode: 'snapshot',
        logRemoved: false,
        mayBeDenied: true,
        discovery: ['SELECT 1 FROM processes'],
      },
    ])
  })

  test("come from files in osquery's JSON with comments, in YAML, and many packs under *", () => {
    writeFileSync(
      join(folder, 'a.conf'),
      '// made by hand\n{\n\t"queries": {\n# ports\n"one": {"query": "SELECT \\\n1", "interval": 60}}}\n',
    )
    writeFileSync(join(folder, 'b.yaml'), 'queries:\n  two: { query: SELECT 2 }\n')
    writeFileSync(join(folder, 'all.json'), '{"c": {"queries": {"three": {"query": "SELECT 3"}}}, "d": "b.yaml"}')
    const { schedule } = load({ schedule: 'a.conf', packs: { a: 'a.conf', b: 'b.yaml', '*': 'all.json' } })
    expect(schedule.map(({ name, sql }) => `${name}: ${sql}`)).toEqual([
      'one: SELECT 1',
      'pack_a_one: SELECT 1',
      'pack_b_two: SELECT 2',
      'pack_c_three: SELECT 3',
      'pack_d_two: SELECT 2',
    ])
  })

  test('leave out what is meant for other machines, and say why', () => {
    const query = 'SELECT 1'
    const { schedule, skipped } = load({
      packs: {
        mac: { platform: 'darwin', queries: { a: { query } } },
        all: {
          queries: {
            linux: { query, platform: 'darwin,linux' },
            ubuntu: { query, platform: 'ubuntu' },
            windows: { query, platform: 'windows' },
            old: { query, version: '1.4.5' },
            future: { query, version: '99.0' },
            none: { query, shard: 0 },
            every: { query, shard: 100 },
          },
        },
      },
    })
    expect(schedule.map(({ name }) => name)).toEqual([
      'pack_all_linux',
      'pack_all_ubuntu',
      'pack_all_old',
      'pack_all_every',
    ])
    expect(skipped.map(({ name, why }) => `${name}: ${why.split(':')[0]}`)).toEqual([
      'pack mac: platform darwin',
      'pack_all_windows: platform windows',
      'pack_all_future: version 99.0',
      'pack_all_none: shard 0',
    ])
  })

  test('refuse reserved and repeated names', () => {
    expect(problemsOf({ schedule: { my_counter: { query: 'SELECT 1' } } })[0]).toContain(
      'schedule.my_counter: is a name osquery',
    )
    expect(
      problemsOf({
        schedule: { pack_a_b: { query: 'SELECT 1' } },
        packs: { a: { queries: { b: { query: 'SELECT 2' } } } },
      }),
    ).toEqual(["query 'pack_a_b': the name is there twice"])
  })

  test("follow osquery's options, and warn of those that do nothing here", () => {
    const config = load({
      options: { pack_delimiter: '/', schedule_splay_percent: 0, logger_plugin: 'tls', custom_tag: 'x' },
      packs: { a: { queries: { b: { query: 'SELECT 1' } } } },
    })
    expect(config.schedule).toMatchObject([{ name: 'pack/a/b', splayPercent: 0 }])
    expect(config.warnings).toEqual(['options.logger_plugin: this agent has no such option'])
  })

  test('an empty schedule is no reason to run the default pack', () => {
    expect(load({ schedule: {} }).schedule).toEqual([])
  })

  test('a pack file that cannot be read is named with its place', () => {
    expect(problemsOf({ packs: { gone: 'gone.conf' } })).toEqual([
      `packs.gone (is "gone.conf"): cannot read ${join(folder, 'gone.conf')}: ENOENT`,
    ])
  })
})

/** The order of problems is the schema's, not the test's. */
function byText(actual: readonly string[]) {
  return (left: string, right: string) => actual.indexOf(left) - actual.indexOf(right)
}
