// The gateway's ingest path alone: broker and journal, without fold, store and uplink.
// argv: data folder, PKI folder, port. Says "ready" on stdout.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { readLeaf } from '../../certs/leaf.ts'
import { layoutOf } from '../../certs/layout.ts'
import { defaultBrokerLimits, startBroker } from '../../gateway/broker/index.ts'
import { startJournal } from '../../gateway/journal/client.ts'
import { createLog } from '../../lib/log.ts'
import { SiteId } from '../../protocol/ids.ts'

const [dataDir = '', pki = '', port = '0'] = process.argv.slice(2)
const site = SiteId.parse('plant-a')
const at = layoutOf(pki)
const { certPem, keyPem } = await readLeaf(at.gateway(site))
const journal = await startJournal({ path: join(dataDir, 'journal.db') })
await startBroker({
  site,
  listen: { host: '127.0.0.1', port: Number(port) },
  tls: { cert: certPem, key: keyPem, ca: readFileSync(join(at.site(site), 'chain.pem'), 'utf8') },
  journal,
  log: createLog('bench', 'warn'),
  limits: defaultBrokerLimits,
  onFatal: (error) => {
    throw error
  },
})
process.stdout.write('ready\n')
