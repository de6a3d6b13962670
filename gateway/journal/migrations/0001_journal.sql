-- What devices sent and nobody has a receipt for yet. Written by the journal worker only; read by state and store.
CREATE TABLE device (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  -- Of its records' bodies in this file: no device may fill it alone.
  bytes INTEGER NOT NULL DEFAULT 0,
  -- Records without epoch and seq: kept, but outside the ledger's proof.
  unsequenced INTEGER NOT NULL DEFAULT 0,
  -- Publishes that could not be read; each left a record of kind 'refused'.
  refused INTEGER NOT NULL DEFAULT 0
) STRICT;

-- The loss ledger's ground truth: per epoch, which seqs are on this disk or were (ranges as JSON [[from,to],…]),
-- and which the device said will never come ([{from,to,reason}]).
CREATE TABLE epoch (
  id INTEGER PRIMARY KEY,
  device_id INTEGER NOT NULL REFERENCES device (id),
  epoch TEXT NOT NULL,
  received TEXT NOT NULL DEFAULT '[]',
  lost TEXT NOT NULL DEFAULT '[]',
  first_received_ms INTEGER NOT NULL,
  last_received_ms INTEGER NOT NULL,
  -- Newest record of the epoch: while it may still be in the table, the epoch's row stays.
  last_record_id INTEGER NOT NULL DEFAULT 0,
  UNIQUE (device_id, epoch)
) STRICT;

-- id only grows and is never reused (AUTOINCREMENT), so that a cursor of a reader means one thing for ever.
CREATE TABLE record (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  device_id INTEGER NOT NULL,
  epoch_id INTEGER,
  seq INTEGER,
  kind TEXT NOT NULL,
  -- Of snapshots, deltas and events the query's name; of answers the query's id.
  name TEXT,
  -- 1: answers, sent before all else; 0: history
  is_answer INTEGER NOT NULL,
  -- by this gateway's clock, as well as it can tell (protocol/observed.ts)
  observed_ms INTEGER NOT NULL,
  received_ms INTEGER NOT NULL,
  clock TEXT,
  body TEXT NOT NULL
) STRICT;

CREATE INDEX record_answer ON record (id) WHERE is_answer = 1;
