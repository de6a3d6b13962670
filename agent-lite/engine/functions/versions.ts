// version_compare and the collations VERSION, VERSION_ARCH, VERSION_DPKG and VERSION_RHEL, with osquery's order, which
// is not the packagers': within a segment characters compare by their code, so 20.10a > 20.102. Lists sorted here and
// by osquery must agree.
import { SqlFunctionError, type SqlFunction } from './define.ts'

export interface VersionRules {
  /** A version with an epoch is above one without; of two, the longer epoch wins. */
  hasEpoch: boolean
  /** Different delimiters compare: ~ - ^ . : from low to high. */
  ranksDelimiters: boolean
  /** When one version ends first, what follows in the other decides: ~ below, ^ above, - equal. */
  readsRemainder: boolean
  /** Where neither says, a difference seen before counts only after a letter. */
  prefersLength: boolean
}

const plain = { hasEpoch: false, ranksDelimiters: false, readsRemainder: false, prefersLength: false }

export const versionRules = {
  VERSION: plain,
  VERSION_ARCH: { hasEpoch: true, ranksDelimiters: false, readsRemainder: true, prefersLength: true },
  VERSION_DPKG: { hasEpoch: true, ranksDelimiters: true, readsRemainder: false, prefersLength: false },
  VERSION_RHEL: { hasEpoch: true, ranksDelimiters: true, readsRemainder: true, prefersLength: false },
} as const satisfies Record<string, VersionRules>

const delimiters = '~-^.:'
const rank = (character: string) => delimiters.indexOf(character) + 1
const codeOf = (character: string) => character.charCodeAt(0)

/** Negative, zero or positive, as collations answer. */
export function compareVersions(left: string, right: string, rules: VersionRules): number {
  if (left === right) return 0
  if (left === '' || right === '') return left === '' ? -1 : 1
  const byEpoch = rules.hasEpoch ? compareEpochs(left, right) : 0
  if (byEpoch !== 0) return byEpoch
  const common = Math.min(left.length, right.length)
  let difference = 0
  for (let index = 0; index < common; index += 1) {
    const [a, b] = [left.charAt(index), right.charAt(index)]
    const [rankA, rankB] = [rank(a), rank(b)]
    if (rankA === 0 && rankB === 0) {
      difference ||= codeOf(a) - codeOf(b)
      continue
    }
    // The segment that is longer is the larger number.
    if (rankA === 0) return 1
    if (rankB === 0) return -1
    if (difference !== 0) return difference
    if (rules.ranksDelimiters && rankA !== rankB) return rankA - rankB
  }
  if (left.length === right.length) return difference
  return compareRemainder(left, right, common, difference, rules) ?? left.length - right.length
}

function compareEpochs(left: string, right: string): number {
  const [a, b] = [left.indexOf(':'), right.indexOf(':')]
  if (a >= 0 && b >= 0) return a - b
  return Number(a >= 0) - Number(b >= 0)
}

function compareRemainder(
  left: string,
  right: string,
  common: number,
  difference: number,
  rules: VersionRules,
): number | undefined {
  const isLeftLonger = left.length > right.length
  const [longer, shorter] = isLeftLonger ? [left, right] : [right, left]
  const sign = isLeftLonger ? 1 : -1
  const next = longer.charAt(common)
  if (!rules.readsRemainder) return difference !== 0 && rank(next) > 0 ? difference : undefined
  switch (next) {
    case '~':
      return -sign
    case '-':
      return 0
    case '^':
      return sign
    default: {
      const counts = !rules.prefersLength || !/[0-9]/.test(shorter.charAt(common - 1))
      return difference !== 0 && counts ? difference : undefined
    }
  }
}

const flavours = new Map<string, VersionRules>([
  ['ARCH', versionRules.VERSION_ARCH],
  ['DPKG', versionRules.VERSION_DPKG],
  ['RHEL', versionRules.VERSION_RHEL],
])

export const versionFunctions: readonly SqlFunction[] = [
  {
    name: 'version_compare',
    argumentCount: -1,
    call: (left, right, flavour) => {
      if (typeof left !== 'string' || typeof right !== 'string') {
        throw new SqlFunctionError('Must provide two version strings to compare.')
      }
      if (flavour === undefined) return BigInt(Math.sign(compareVersions(left, right, plain)))
      if (typeof flavour !== 'string') throw new SqlFunctionError('The optional third parameter is not a string.')
      const rules = flavours.get(flavour.toUpperCase())
      if (rules === undefined) {
        throw new SqlFunctionError('The optional third parameter does not match one of: (ARCH, DPKG, RHEL).')
      }
      return BigInt(Math.sign(compareVersions(left, right, rules)))
    },
  },
]
