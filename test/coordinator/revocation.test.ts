// Gateways whose certificate, or whose site's CA, was revoked are refused while the server runs; a list that is out of
// date, broken or older than the one in use changes nothing.
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { revoke } from '../../certs/authority.ts'
import { Deployment, eventually, FakeGateway } from './harness.ts'

let deployment: Deployment
let plantA: FakeGateway
let plantB: FakeGateway
let older: string

beforeAll(async () => {
  const lists = ['root', 'sites/plant-a', 'sites/plant-b'].map((ca) => ({
    crl: `pki/${ca}/crl.pem`,
    ca: `pki/${ca}/ca.pem`,
  }))
  deployment = await Deployment.create({}, { revocation: lists })
  await deployment.addSite('plant-b')
  older = join(deployment.folder, 'older.pem')
  copyFileSync(join(deployment.pki.site('plant-a'), 'crl.pem'), older)
  // Out of date from the start: it is warned of, and still in force.
  await revoke({ pki: deployment.pki.pki, site: 'plant-b', nowMs: Date.now() - 60 * 86_400_000 })
  await deployment.start()
  plantA = new FakeGateway(deployment)
  plantB = new FakeGateway(deployment, 'plant-b')
})
afterAll(() => deployment.remove())

const call = async (gateway: FakeGateway) => {
  const { status, body } = await deployment.asSite(gateway.tls, 'GET', `/v1/sites/${gateway.site}/commands`)
  return status === 200 ? 200 : (body as { error: { code: string } }).error.code
}
const logHas = (text: string) =>
  eventually(`the log to say '${text}'`, () => (deployment.log.some((line) => line.includes(text)) ? true : undefined))

test('a revoked gateway is refused, the others are not', async () => {
  expect([await call(plantA), await call(plantB)]).toEqual([200, 200])
  await revoke({ pki: deployment.pki.pki, site: 'plant-a', subject: { role: 'gateway', id: 'plant-a' } })
  await eventually('the list to be read', async () => ((await call(plantA)) === 'PEER_REVOKED' ? true : undefined))
  expect(await call(plantB)).toBe(200)
  await logHas('revocation list is out of date')
})

test('neither an older list nor a broken one lets it in again', async () => {
  const path = join(deployment.pki.site('plant-a'), 'crl.pem')
  const current = readFileSync(path)
  copyFileSync(older, path)
  await logHas('revocation list is older than the one in use')
  expect(await call(plantA)).toBe('PEER_REVOKED')
  writeFileSync(path, 'no list at all')
  await logHas('revocation list cannot be used')
  expect(await call(plantA)).toBe('PEER_REVOKED')
  writeFileSync(path, current)
})

test('with the CA of a site its gateway is refused too', async () => {
  await revoke({ pki: deployment.pki.pki, subject: { role: 'site-ca', id: 'plant-b' } })
  await eventually('the list to be read', async () => ((await call(plantB)) === 'PEER_REVOKED' ? true : undefined))
})
