// Where each file of a PKI directory lies. A gateway holds only its own sites/<site>/, the coordinator only coordinator/ and centre/;
// every function of certs/ works on such a part, as long as the CA it signs with is there.
import { join } from 'node:path'

export function layoutOf(pki: string) {
  const site = (id: string) => join(pki, 'sites', id)
  return {
    pki,
    root: join(pki, 'root'),
    /** Ed25519 key pair that signs the centre's commands and receipts. */
    centre: join(pki, 'centre'),
    coordinator: join(pki, 'coordinator'),
    sites: join(pki, 'sites'),
    site,
    gateway: (id: string) => join(site(id), 'gateway'),
    device: (id: string, device: string) => join(site(id), 'devices', device),
  }
}

/** Names within a CA's folder (root/ or sites/<site>/). */
export const caFiles = {
  cert: 'ca.pem',
  key: 'ca.key',
  chain: 'chain.pem',
  crl: 'crl.pem',
  index: 'index.json',
} as const

/** Names within the folder of a device, gateway or coordinator. */
export const leafFiles = { cert: 'cert.pem', key: 'key.pem' } as const

/** Ed25519 key pairs: the site's signs segments and the plant's own commands. */
export const signingFiles = { key: 'signing.key', pub: 'signing.pub' } as const
export const centreFiles = { key: 'command-signing.key', pub: 'command-signing.pub' } as const
