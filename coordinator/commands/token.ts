// `token create|list|revoke`: who may use the people's API. A token is shown once; only its hash is kept.
import { Command } from 'commander'
import { AppError } from '../../lib/errors.ts'
import { renderTable } from '../../lib/output/table.ts'
import { parseDurationMs } from '../../lib/units.ts'
import { createToken } from '../api/tokens.ts'
import type { TokenRecord } from '../store/store.ts'
import { defaultConfig, operator, withStore, type ConfigOption } from './context.ts'

export function tokenCommand(): Command {
  const create = new Command('create')
    .description('make a token and print it, once')
    .requiredOption('--name <who>', 'person or program that will use it; stands in the audit log')
    .option('--expires-in <duration>', 'for example 90d; without it the token is valid until revoked')
    .option('--json', 'id, name and token as JSON')
    .option('--config <file>', 'configuration', defaultConfig)
    .addHelpText(
      'after',
      '\nExamples:\n  tidegate-coordinator token create --name alice --expires-in 90d\n  TIDEGATE_TOKEN=$(tidegate-coordinator token create --name ci)',
    )
    .action(async (options: ConfigOption & { name: string; expiresIn?: string; json?: true }) => {
      if (!/^[\p{L}\p{N}][\p{L}\p{N} ._@-]{0,63}$/u.test(options.name)) {
        throw new AppError('TOKEN_NAME_INVALID', `${JSON.stringify(options.name)} cannot be the name of a token`, {
          hint: 'use 1 to 64 letters, digits, spaces and . _ @ -',
          exit: 'usage',
        })
      }
      const createdAtMs = Date.now()
      const expiresAtMs = options.expiresIn === undefined ? null : createdAtMs + parseDurationMs(options.expiresIn)
      const { id, secret, sha256 } = createToken()
      await withStore(options, async (store) => {
        const isTaken = (await store.tokens()).some(
          (token) => token.name === options.name && stateOf(token, createdAtMs) === 'valid',
        )
        if (isTaken) {
          throw new AppError('TOKEN_NAME_TAKEN', `there is a valid token of ${options.name}`, {
            hint: 'take another name, or revoke that one: the audit log tells people apart by name',
            exit: 'usage',
          })
        }
        await store.addToken({ id, name: options.name, sha256, createdAtMs, expiresAtMs, who: operator() })
      })
      process.stderr.write(`token ${id} of ${options.name}; it is shown only now\n`)
      const shown = options.json ? JSON.stringify({ id, name: options.name, token: secret }) : secret
      process.stdout.write(`${shown}\n`)
    })

  const list = new Command('list')
    .description('tokens and when they were last used')
    .option('--config <file>', 'configuration', defaultConfig)
    .option('--json', 'as JSON')
    .action(async (options: ConfigOption & { json?: true }) => {
      const tokens = await withStore(options, (store) => store.tokens())
      if (options.json) process.stdout.write(`${JSON.stringify(tokens, undefined, 2)}\n`)
      else {
        const time = (ms: number | null, none: string) => (ms === null ? none : new Date(ms).toISOString())
        const rows = tokens.map((token) => [
          token.id,
          token.name,
          stateOf(token, Date.now()),
          time(token.createdAtMs, ''),
          time(token.expiresAtMs, 'never'),
          time(token.lastUsedAtMs, 'never'),
        ])
        process.stdout.write(renderTable(['id', 'name', 'state', 'created', 'expires', 'last used'], rows))
      }
    })

  const revoke = new Command('revoke')
    .description('refuse a token from now on')
    .argument('<id>', 'as `token list` shows it')
    .option('--config <file>', 'configuration', defaultConfig)
    .action(async (id: string, options: ConfigOption) => {
      if (!(await withStore(options, (store) => store.revokeToken(id, operator(), Date.now())))) {
        throw new AppError('TOKEN_UNKNOWN', `there is no valid token ${id}`, {
          hint: 'tidegate-coordinator token list shows the ids',
          exit: 'usage',
        })
      }
      process.stdout.write(`${id}: revoked\n`)
    })

  return new Command('token')
    .description("tokens of the people's API")
    .addCommand(create)
    .addCommand(list)
    .addCommand(revoke)
}

function stateOf(token: TokenRecord, nowMs: number): 'valid' | 'expired' | 'revoked' {
  if (token.revokedAtMs !== null) return 'revoked'
  return token.expiresAtMs !== null && token.expiresAtMs <= nowMs ? 'expired' : 'valid'
}
