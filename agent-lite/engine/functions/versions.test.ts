import { expect, test } from 'vitest'
import { evaluator } from './sql-for-tests.ts'

const value = await evaluator()

// The cases of osquery's own test of these functions.
test('version_compare answers -1, 0 or 1 by the rules of a flavour', () => {
  const cases: [string, number][] = [
    ["'1.0', '1.0'", 0],
    ["'1:2.0-10', '1:2.0-10', 'DPKG'", 0],
    ["'4:1.1.0', '4:1.1.0-3', 'arCH'", 0],
    ["'50.4.1b', '50.4.1c'", -1],
    ["'1.0.8-4', '1.0.8-6', 'arch'", -1],
    ["'1.0.0~rc2^2021', '1.0.0', 'RHEL'", -1],
    ["'1.1.0~BETA2^1', '1.1.0~CR1', 'RhEl'", -1],
    ["'1.0.1.1', '1.0.1^2021', 'rhel'", 1],
    ["'1.9.9-1ubuntu2.4', '1.9.9-1ubuntu2.3', 'dpkg'", 1],
    ["'1:1.2.13-2', '4.2.1', 'ARCH'", 1],
    ["'106.32.1', '106:32.1'", 0],
    ["'', '1'", -1],
    ["'1', ''", 1],
  ]
  for (const [args, result] of cases) expect([args, value(`version_compare(${args})`)]).toEqual([args, result])
})

test('version_compare refuses what is not text and an unknown flavour', () => {
  expect(value('version_compare(1, 2)')).toMatch(/Must provide two version strings to compare/)
  expect(value("version_compare('1')")).toMatch(/Must provide two version strings to compare/)
  expect(value("version_compare('1', '2', 3)")).toMatch(/optional third parameter is not a string/)
  expect(value("version_compare('1', '2', 'npm')")).toMatch(/one of: \(ARCH, DPKG, RHEL\)/)
})

const order: Record<string, string[]> = {
  VERSION: [
    '1.0 = 1.0',
    '1:0.0 = 1.0.0',
    '2.50^1a = 2.50~1a',
    '1.0 < 1.1',
    '1.1 < 1.a',
    '50.4.1b < 50.4.1c',
    '1.0.0 < 1.0.0-2',
    '1.0.0-2 < 1:0.0.3',
    '1.12.1 < 1.13',
    '190.10a > 20.10a',
    '20.10a > 20.102',
    '57:4 > 6.87.5',
    '98.100.21-1b > 98.100.21-1a',
    '8.11 > 8.10.24',
  ],
  VERSION_ARCH: [
    '1.0 = 1.0-4',
    '4:2 = 4:2-1',
    '1.6.1-9 < 1.6.1-10',
    '20220713-1 < 20221123-1',
    '2-2pre < 2-2rc',
    '41.1-2 < 43alpha+r8+g1de47dbc-1',
    '1:42.3.1-1 < 1:43.2-1',
    '6.0.12.arch1-1 > 5.18.14.arch1-1',
    '3:0.164.r3095.baee400-4 > 3:0.164.r3081.19856cc-2',
    '0.23.90-1 > 0.23.1-9',
    '1:1.2.13-2 > 4.2.1',
  ],
  VERSION_DPKG: [
    '1.0-0 = 1.0-0',
    '22.07.5-2ubuntu1.3 < 22.07.5-2ubuntu1.4',
    '12ubuntu4.2 < 12ubuntu4.3',
    '2.5.13+dfsg-0ubuntu0.22.04.1 < 2.5.14+dfsg-0ubuntu0.22.04.2',
    '1.21.1ubuntu2.2 > 1.21.1ubuntu2.1',
    '3.0.2-0ubuntu1.10 > 3.0.2-0ubuntu1.8',
    '2:8.2.3995-1ubuntu2.9 > 2:8.2.3995-1ubuntu2.3',
  ],
  VERSION_RHEL: [
    '0.5.0~rc1^202 = 0.5.0~rc1^202',
    '1.0.0~rc2^2021 < 1.0.0',
    '1.0.1 < 1.0.1^2021',
    '1.0.1^2021 < 1.0.1.security1',
    '1.0.1 < pkg-1.0.1.security1',
    '1.1.0~BETA2 < 1.1.0~CR1',
    '1.1.0.2021.SP1 < 1.1.0.2021.SP1_CP1',
    '9.11.4-26.P2.el7_9.10 < 32:9.11.4-26.P2.el7_9.13',
    '1:1.8.0.352.b08-2.el7_9 < 1:1.8.0.372.b07-1.el7_9',
    '1.0.0 > 1.0.0~rc2',
    '1.1.0~BETA > 1.0.1.security1',
    '1.1.0.20201001.GA1 > 1.1.0~CR1',
    '1.0.0~rc2^20210101gf00fabd > 1.0.0~rc2',
    '1.0.1^20210203gbbbccc0 > 1.0.1',
  ],
}

test.each(Object.entries(order))('%s orders versions as osquery does', (collation, cases) => {
  for (const one of cases) {
    const [left, operator, right] = one.split(' ')
    expect([one, value(`'${left}' ${operator} '${right}' COLLATE ${collation}`)]).toEqual([one, 1])
  }
})
