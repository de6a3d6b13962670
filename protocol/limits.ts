// What either side accepts at most. Checked by the sender before sending and by the receiver before storing; a refusal
// names the limit. Sizes are bytes.
export const limits = {
  /** One MQTT publish as it arrives, headers included. */
  packetBytes: 1_048_576 + 1024,
  /** Payload of one publish. */
  payloadBytes: 1_048_576,
  /** The envelope's JSON after decompression: bounds what a Brotli bomb can cost. */
  envelopeBytes: 8 * 1_048_576,
  recordsPerEnvelope: 1000,
  rowsPerRecord: 100_000,
  columns: 256,
  cellBytes: 1_048_576,
  nameBytes: 128,
  topicLevels: 8,
  topicBytes: 256,
  /** A command's compact JWS. */
  commandBytes: 131_072,
  sqlBytes: 32_768,
  /** A segment file, and its body after decompression. */
  segmentBytes: 8 * 1_048_576,
  segmentBodyBytes: 64 * 1_048_576,
  itemsPerSegment: 50_000,
  /** JSON nesting, so that a parser's stack is never the limit. */
  jsonDepth: 32,
} as const
