// Broker and journal in a process of their own, to be killed. argv: folder (journal.db in it), PKI folder, port (0: any).
// Says its port on stdout when it listens.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { readLeaf } from '../../certs/leaf.ts'
import { layoutOf } from '../../certs/layout.ts'
import { startBroker } from '../../gateway/broker/index.ts'
import { startJournal } from '../../gateway/journal/client.ts'
import { createLog } from '../../lib/log.ts'
import { SiteId } from '../../protocol/ids.ts'

const [folder = '', pki = '', port = '0'] = process.argv.slice(2)
const site = SiteId.parse('plant-a')
const at = layoutOf(pki)
const { certPem, keyPem } = await readLeaf(at.gateway(site))
const journal = await startJournal({ path: join(folder, 'journal.db') })
const broker = await startBroker({
  site,
  listen: { host: '127.0.0.1', port: Number(port) },
  tls: { cert: certPem, key: keyPem, ca: readFileSync(join(at.site(site), 'chain.pem'), 'utf8') },
  journal,
  log: createLog('gateway', 'error'),
  onFatal: (error) => {
    throw error
  },
})
process.stdout.write(`${broker.port}\n`)
