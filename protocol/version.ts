// The wire protocol's version, one integer for envelope, command, segment and receipt.
//   1  2026-11  first version

/** A higher `v` than this is refused with reason `version-unsupported`; unknown fields within a version are ignored. */
export const protocolVersion = 1
