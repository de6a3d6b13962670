// `site add` and `site list`: which sites may speak, and with which signing keys.
import { Command } from 'commander'
import { readConfigFile } from '../../lib/config.ts'
import { AppError } from '../../lib/errors.ts'
import { renderTable } from '../../lib/output/table.ts'
import { SiteId } from '../../protocol/ids.ts'
import { loadTrustedKey } from '../../protocol/jws.ts'
import { defaultConfig, operator, withStore, type ConfigOption } from './context.ts'

export function siteCommand(): Command {
  const add = new Command('add')
    .description('register a site, or add a signing key to one (the old key goes on being accepted)')
    .argument('<site>', 'id of the site, as in its certificates')
    .requiredOption('--signing-key <file>', "the site's public signing key, signing.pub")
    .option('--config <file>', 'configuration', defaultConfig)
    .addHelpText(
      'after',
      '\nExample:\n  tidegate-coordinator site add plant-a --signing-key pki/sites/plant-a/signing.pub',
    )
    .action(async (name: string, options: ConfigOption & { signingKey: string }) => {
      const site = SiteId.safeParse(name)
      if (!site.success) {
        throw new AppError('SITE_ID_INVALID', `'${name}' cannot be a site's id`, {
          hint: 'use lower-case letters, digits and hyphens, at most 63',
          exit: 'usage',
        })
      }
      const publicPem = readConfigFile(options.signingKey, '--signing-key')
      const { kid } = await loadTrustedKey(publicPem, name).catch((error: unknown) => {
        throw new AppError('SIGNING_KEY_INVALID', `${options.signingKey} is not an Ed25519 public key in PEM`, {
          hint: `use signing.pub of the site, made by tidegate certs site ${name}`,
          exit: 'usage',
          cause: error,
        })
      })
      const outcome = await withStore(options, (store) =>
        store.addSite({ site: site.data, kid, publicPem, who: operator(), atMs: Date.now() }),
      )
      const said = { added: 'site added', 'key-added': 'signing key added', unchanged: 'known already' }[outcome]
      process.stdout.write(`${name}: ${said}\n`)
    })

  const list = new Command('list')
    .description('the registered sites')
    .option('--config <file>', 'configuration', defaultConfig)
    .option('--json', 'as JSON')
    .action(async (options: ConfigOption & { json?: true }) => {
      const sites = await withStore(options, (store) => store.sites())
      if (options.json) process.stdout.write(`${JSON.stringify(sites, undefined, 2)}\n`)
      else {
        const rows = sites.map((site) => [
          site.id,
          new Date(site.addedAtMs).toISOString(),
          site.lastContactAtMs === null ? 'never' : new Date(site.lastContactAtMs).toISOString(),
          String(site.hosts),
          String(site.segments),
        ])
        process.stdout.write(renderTable(['site', 'added', 'last contact', 'hosts', 'segments'], rows))
      }
    })

  return new Command('site').description('register sites').addCommand(add).addCommand(list)
}
