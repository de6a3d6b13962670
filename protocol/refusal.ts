// Why something that arrived was refused. The reason is a stable word that logs, metrics and peers can count.

export const refusalReasons = [
  'not-json',
  'not-utf8',
  'bad-shape',
  'bad-compression',
  'bad-signature',
  'bad-hash',
  'unknown-key',
  'wrong-type',
  'wrong-device',
  'wrong-site',
  'wrong-topic',
  'duplicate-seq',
  'version-unsupported',
  'too-large',
  'too-many-records',
  'too-many-rows',
  'too-many-columns',
  'cell-too-large',
  'too-deep',
  'name-too-long',
  'not-yet-valid',
  'expired',
  'not-addressed',
] as const

export type RefusalReason = (typeof refusalReasons)[number]

/** Thrown by every decoder in protocol/; a decoder throws nothing else for bad input. */
export class Refusal extends Error {
  readonly reason: RefusalReason

  constructor(reason: RefusalReason, message: string, cause?: unknown) {
    super(message, { cause })
    this.name = 'Refusal'
    this.reason = reason
  }
}
