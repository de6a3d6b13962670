// Every reason for which a connection, a packet or a publish of a device is refused or ended by us. The words are stable:
// logs and metrics count by them.
import type { RefusalReason } from '../../protocol/refusal.ts'

export const brokerReasons = {
  'too-many-connections': 'as many connections as allowed are open',
  'handshake-queue-full': 'too many handshakes are waiting',
  'handshake-timeout': 'the TLS handshake did not finish in time',
  'no-certificate': 'the peer showed no certificate',
  'unknown-ca': 'the certificate was not issued under a CA of this site',
  expired: 'the certificate has expired',
  'not-yet-valid': 'the certificate is not valid yet: the clock of one side may be wrong',
  'tls-failed': 'the TLS handshake failed',
  'not-a-device': 'the certificate is not that of a device',
  revoked: 'the certificate is revoked',
  quarantined: 'the device is quarantined',
  'no-connect': 'no MQTT CONNECT came in time, or something else came first',
  'connect-too-large': 'the CONNECT packet is larger than allowed',
  'packet-too-large': 'an MQTT packet is larger than allowed',
  'malformed-packet': 'not a valid MQTT 3.1.1 packet',
  'protocol-version': 'only MQTT 3.1.1 is spoken here',
  'wrong-client-id': "the client id is not the certificate's name",
  keepalive: 'the keepalive is zero or too long',
  'bad-will': "the will is not a small message on the device's own alive topic",
  'bad-alive': 'alive carries small JSON',
  'wrong-topic': 'a device publishes under its own up, up/br and alive only, and reads its own down and the hint',
  'topic-levels': 'the topic has too many levels',
  wildcard: 'subscriptions with wildcards are not allowed',
  'qos-2': 'QoS 2 is not offered; QoS 1 and sequence numbers give exactly once',
  'qos-0-down': 'commands need a subscription with QoS 1',
  retain: 'only alive may be retained',
  'storage-failed': 'the gateway could not store it; the device keeps it',
  'storage-busy': 'more is waiting for the disk than memory allows',
  'over-share': 'the device holds too much of a journal that is getting full; it keeps the rest',
  'storage-stalled': 'the disk has not answered for almost a keepalive',
  'no-ack': 'the device did not acknowledge a command in time',
  frozen: 'the device has stopped reading',
  replaced: 'another connection of the same device took over',
  closing: 'the gateway is stopping',
} as const

export type BrokerReason = keyof typeof brokerReasons

/** Refused by the broker, or, with a RefusalReason, what a publish holds was refused by the journal. */
export class DeviceRefusal extends Error {
  readonly reason: BrokerReason | RefusalReason
  /** MQTT 3.1.1 CONNACK return code (§3.2.2.3), where it is a CONNECT that is refused. */
  readonly returnCode: 2 | 3 | 5

  constructor(reason: BrokerReason | RefusalReason, detail?: string, returnCode: 2 | 3 | 5 = 5) {
    super(detail ?? (reason in brokerReasons ? brokerReasons[reason as BrokerReason] : reason))
    this.name = 'DeviceRefusal'
    this.reason = reason
    this.returnCode = returnCode
  }
}
