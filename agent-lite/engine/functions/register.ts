// Adds the functions and collations of this folder to a connection.
import { functionResult, rawValue } from '../values.ts'
import { SQLITE, type Sqlite } from '../sqlite.ts'
import type { SqlFunction } from './define.ts'
import { encodingFunctions } from './encoding.ts'
import { hashFunctions } from './hashing.ts'
import { mathFunctions } from './math.ts'
import { networkFunctions } from './networks.ts'
import { pathFunctions } from './paths.ts'
import { stringFunctions } from './strings.ts'
import { compareVersions, versionFunctions, versionRules } from './versions.ts'

export const sqlFunctions: readonly SqlFunction[] = [
  ...encodingFunctions,
  ...hashFunctions,
  ...mathFunctions,
  ...networkFunctions,
  ...pathFunctions,
  ...stringFunctions,
  ...versionFunctions,
]

export function registerFunctions(sqlite: Sqlite, db: number): void {
  for (const { name, argumentCount, call } of sqlFunctions) {
    const answer = sqlite.install('vpip', (context: number, argc: number, argv: number) => {
      try {
        const values = Array.from({ length: argc }, (_, index) => rawValue(sqlite, sqlite.pointerAt(argv + index * 4)))
        functionResult(sqlite, context, call(...values))
      } catch (error) {
        sqlite.resultError(context, `${name}: ${(error as Error).message}`)
      }
    })
    const flags = SQLITE.UTF8 | SQLITE.DETERMINISTIC
    sqlite.withCString(name, (text) =>
      sqlite.c.sqlite3_create_function_v2(db, text, argumentCount, flags, 0, answer, 0, 0, 0),
    )
  }
  for (const [name, rules] of Object.entries(versionRules)) {
    const compare = sqlite.install(
      'ipipip',
      (_: number, leftBytes: number, left: number, rightBytes: number, right: number) =>
        Math.sign(compareVersions(sqlite.text(left, leftBytes), sqlite.text(right, rightBytes), rules)),
    )
    sqlite.withCString(name, (text) => sqlite.c.sqlite3_create_collation(db, text, SQLITE.UTF8, 0, compare))
  }
}
