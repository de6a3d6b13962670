// tidegate-agent check-config: all that `run` would read, without starting anything; every problem is named at once.
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { Command } from 'commander'
import { readConfigFile } from '../../lib/config.ts'
import { AppError, exitCodes } from '../../lib/errors.ts'
import { loadTrustedKey } from '../../protocol/jws.ts'
import { loadAgentConfig, type AgentConfig } from '../config.ts'
import { Engine } from '../engine/client.ts'
import { deviceOf } from '../identity.ts'
import { print } from '../output/print.ts'
import { defaultConfigPath } from './run.ts'

interface Findings {
  problems: string[]
  warnings: string[]
}

export function checkConfigCommand(): Command {
  return new Command('check-config')
    .description(
      'Check the configuration, its packs and SQL, and the certificate and keys it names. Exit 3 on problems.',
    )
    .option('-c, --config <file>', 'the configuration', defaultConfigPath)
    .option('--json', 'problems and warnings as an object')
    .addHelpText('after', '\nExample:\n  tidegate-agent check-config --config agent.yaml\n')
    .action(async ({ config: path, json }: { config: string; json?: true }) => {
      const findings = await check(path)
      if (json) await print(`${JSON.stringify({ config: path, ...findings }, null, 2)}\n`)
      else await print(describe(path, findings))
      if (findings.problems.length > 0) process.exitCode = exitCodes.config
    })
}

async function check(path: string): Promise<Findings> {
  let config: AgentConfig
  try {
    config = loadAgentConfig(path)
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'CONFIG_INVALID')
      return { problems: [explain(error)], warnings: [] }
    const [only = '', ...several] = error.message.split('\n  - ')
    return { problems: several.length > 0 ? several : [only], warnings: [] }
  }
  const warnings = [...config.warnings, ...config.skipped.map(({ name, why }) => `${name} does not run here: ${why}`)]
  const findings = { problems: [...checkTls(config), ...(await checkTrust(config))], warnings }
  await checkSql(config, findings)
  return findings
}

function checkTls({ tls, site }: AgentConfig): string[] {
  const problems: string[] = []
  const read = <T>(key: keyof AgentConfig['tls'], use: (pem: string) => T): T | undefined => {
    try {
      return use(readConfigFile(tls[key], `tls.${key}`))
    } catch (error) {
      problems.push(
        error instanceof AppError
          ? explain(error)
          : `tls.${key}: ${tls[key]} is not usable PEM: ${(error as Error).message}`,
      )
      return undefined
    }
  }
  read('ca', (pem) => new X509Certificate(pem))
  const certificate = read('cert', (pem) => {
    const { notAfterMs } = deviceOf(pem, site)
    if (notAfterMs < Date.now()) problems.push(`tls.cert: ${tls.cert} expired on ${new Date(notAfterMs).toISOString()}`)
    return new X509Certificate(pem)
  })
  const key = read('key', (pem) => createPrivateKey(pem))
  if (certificate !== undefined && key !== undefined && !certificate.checkPrivateKey(key)) {
    problems.push(`tls.key: ${tls.key} is not the key of the certificate ${tls.cert}`)
  }
  return problems
}

async function checkTrust({ trust }: AgentConfig): Promise<string[]> {
  const problems: string[] = []
  for (const owner of ['centre', 'plant'] as const) {
    for (const [index, path] of trust[owner].entries()) {
      const where = `trust.${owner}.${index}`
      try {
        await loadTrustedKey(readConfigFile(path, where), owner)
      } catch (error) {
        problems.push(
          error instanceof AppError ? explain(error) : `${where}: ${path} is not an Ed25519 public key in PEM`,
        )
      }
    }
  }
  return problems
}

async function checkSql({ schedule }: AgentConfig, findings: Findings): Promise<void> {
  // Queries of a pack share its discovery queries: each is checked once.
  const discovery = new Map(schedule.flatMap((query) => query.discovery.map((sql) => [sql, query.name])))
  const statements = [
    ...schedule.map(({ name, sql }) => ({ what: `query ${name}`, sql })),
    ...[...discovery].map(([sql, name]) => ({ what: `discovery for ${name}`, sql })),
  ]
  const engine = new Engine()
  try {
    for (const { what, sql } of statements) {
      try {
        const { tables } = await engine.prepare(sql)
        for (const table of tables.filter((each) => each.isRequiredMissing)) {
          findings.problems.push(`${what}: table ${table.name} needs a condition on one of its required columns`)
        }
      } catch (error) {
        findings.problems.push(`${what}: ${explain(error)}`)
      }
    }
  } finally {
    await engine.close()
  }
}

function explain(error: unknown): string {
  const { message } = error as Error
  return error instanceof AppError && error.hint !== undefined ? `${message} (try: ${error.hint})` : message
}

function describe(path: string, { problems, warnings }: Findings): string {
  const lines = [
    ...problems.map((problem) => `problem: ${problem}`),
    ...warnings.map((warning) => `warning: ${warning}`),
    problems.length === 0 ? `${path}: ok` : `${path}: ${problems.length} problem${problems.length === 1 ? '' : 's'}`,
  ]
  return `${lines.join('\n')}\n`
}
