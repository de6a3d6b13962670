// `audit verify`: recomputes the hash chain of the audit log.
import { Command } from 'commander'
import { AppError } from '../../lib/errors.ts'
import { auditStart, auditHash } from '../audit-chain.ts'
import { defaultConfig, withStore, type ConfigOption } from './context.ts'

const entriesPerRead = 1000

export function auditCommand(): Command {
  const verify = new Command('verify')
    .description('check that no entry of the audit log was changed, removed or inserted')
    .option('--config <file>', 'configuration', defaultConfig)
    .action(async (options: ConfigOption) => {
      const { entries, hash } = await withStore(options, async (store) => {
        let n = 0
        let prev = auditStart
        for (;;) {
          const page = await store.auditAfter(n, entriesPerRead)
          for (const entry of page) {
            if (entry.n !== n + 1 || entry.prev !== prev || auditHash(entry) !== entry.hash) {
              throw new AppError('AUDIT_BROKEN', `the audit log is broken at entry ${n + 1}`, {
                hint: 'compare with a backup: entries before it are as they were written',
              })
            }
            n = entry.n
            prev = entry.hash
          }
          if (page.length < entriesPerRead) return { entries: n, hash: prev }
        }
      })
      process.stdout.write(`audit log: ${entries} entries, unbroken; newest hash ${hash}\n`)
    })

  return new Command('audit').description('the audit log').addCommand(verify)
}
