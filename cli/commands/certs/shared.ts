// What the subcommands of `tidegate certs` have in common: options, the reading of their values, and how results are printed.
import { InvalidArgumentError, Option } from 'commander'
import type { Command } from 'commander'
import { AppError } from '../../../lib/errors.ts'
import { printable } from '../../../lib/output/printable.ts'

export interface PkiOptions {
  pki: string
  json?: boolean
}

export function onPki(command: Command): Command {
  return command
    .addOption(new Option('--pki <folder>', 'the PKI directory').env('TIDEGATE_PKI').default('pki'))
    .option('--json', 'print JSON')
}

export function requireSite(site: string | undefined): string {
  if (site === undefined) throw usage('which site?', 'give --site SITE')
  return site
}

export const usage = (message: string, hint: string) => new AppError('USAGE', message, { hint, exit: 'usage' })

export function parseDays(text: string): number {
  const days = Number(text)
  if (!/^\d+(\.\d+)?$/.test(text) || days <= 0) throw new InvalidArgumentError('give a number of days, such as 365')
  return days
}

export function parseTime(text: string): number {
  const ms = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : NaN
  if (Number.isNaN(ms)) throw new InvalidArgumentError('give a time such as 2027-01-31 or 2027-01-31T12:00:00Z')
  return ms
}

export const collect = (value: string, before: string[]) => [...before, value]
export const collectOptional = (value: string, before: string[] | undefined) => [...(before ?? []), value]

export const dateOf = (ms: number) => new Date(ms).toISOString().slice(0, 10)

export function examples(remark: string, ...lines: string[]): string {
  return `\n${remark === '' ? '' : `${remark}\n`}Examples:\n${lines.map((line) => `  ${line}`).join('\n')}`
}

export const printText = (text: string) => void process.stdout.write(text)
export const print = (line: string) => printText(`${printable(line)}\n`)
export const printJson = (value: unknown) => printText(`${JSON.stringify(value, null, 2)}\n`)
