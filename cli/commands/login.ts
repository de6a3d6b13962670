// `login`: tries a token and keeps it for later commands.
import { text } from 'node:stream/consumers'
import { Command } from 'commander'
import { AppError } from '../../lib/errors.ts'
import { SiteList } from '../../protocol/api.ts'
import { examples, useClient, withConnection } from '../connect.ts'
import { saveSettings, type ConnectionOptions } from '../settings.ts'

export function loginCommand(): Command {
  return withConnection(new Command('login'))
    .description('check a token and keep it, with the address, in ~/.config/tidegate/config.yaml')
    .addHelpText(
      'after',
      examples(
        'tidegate login --server https://centre.example:8444 --ca root.pem < token',
        '(the token is read from stdin unless TIDEGATE_TOKEN or --token gives it)',
      ),
    )
    .action(async (options: ConnectionOptions) => {
      const server = options.server ?? process.env['TIDEGATE_SERVER']
      if (server === undefined) {
        throw new AppError('NOT_CONFIGURED', 'login needs the address of the coordinator', {
          hint: 'tidegate login --server https://host:port --ca root.pem',
          exit: 'usage',
        })
      }
      const ca = options.ca ?? process.env['TIDEGATE_CA']
      const token = options.token ?? process.env['TIDEGATE_TOKEN'] ?? (await readToken())
      const { sites } = await useClient({ ...options, server, token }, (client) => client.get('/sites', SiteList))
      const path = saveSettings({ server, ca, token })
      process.stdout.write(`${server} knows this token; ${sites.length} sites. Kept in ${path}\n`)
    })
}

async function readToken(): Promise<string> {
  if (process.stdin.isTTY) process.stderr.write('token, then Ctrl-D: ')
  return (await text(process.stdin)).trim()
}
