-- What the gateway itself must remember: commands and how far each device is with them, segments on their way up, the
-- audit log, who is here. Written by the store worker only.
CREATE TABLE setting (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Positions, each moved in one transaction with what it stands for.
CREATE TABLE cursor (
  name TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE command (
  -- order of arrival, in which a device gets them
  arrival INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  authority TEXT NOT NULL,
  kind TEXT NOT NULL,
  jws TEXT NOT NULL,
  -- '*', or a JSON list of device ids
  targets TEXT NOT NULL,
  sql TEXT,
  cost_class TEXT,
  cancels TEXT,
  asked_by TEXT,
  why TEXT,
  received_ms INTEGER NOT NULL,
  not_before_ms INTEGER NOT NULL,
  not_after_ms INTEGER NOT NULL,
  -- allow, ask, veto or defer, as the rules or a person last decided
  consent TEXT NOT NULL,
  consent_reason TEXT,
  consent_by TEXT,
  cancelled_ms INTEGER,
  -- when it must be looked at again; NULL: every device has reached a final state and no other can join
  due_ms INTEGER
) STRICT;
CREATE INDEX command_due ON command (due_ms) WHERE due_ms IS NOT NULL;

-- One command on one device. `state` is protocol/query-states.ts.
CREATE TABLE delivery (
  command_id TEXT NOT NULL REFERENCES command (id) ON DELETE CASCADE,
  device TEXT NOT NULL,
  state TEXT NOT NULL,
  reason TEXT,
  arrived_ms INTEGER NOT NULL,
  dispatched_ms INTEGER,
  running_ms INTEGER,
  final_ms INTEGER,
  -- answer parts seen so far, as ranges, of how many
  parts_seen TEXT NOT NULL DEFAULT '[]',
  parts INTEGER,
  status TEXT,
  message TEXT,
  row_count INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (command_id, device)
) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_waiting ON delivery (device) WHERE state IN ('at-site', 'awaiting-consent', 'dispatched');

-- Answers to the plant's own questions, to be read here after the journal has let them go.
CREATE TABLE answer (
  command_id TEXT NOT NULL REFERENCES command (id) ON DELETE CASCADE,
  device TEXT NOT NULL,
  part INTEGER NOT NULL,
  record TEXT NOT NULL,
  PRIMARY KEY (command_id, device, part)
) STRICT, WITHOUT ROWID;

-- Site events for the centre, as segment lines; a row goes when the segment that holds it is formed.
CREATE TABLE outbox (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  -- a newer event with the same key replaces one that has not left yet
  replaces TEXT UNIQUE,
  -- it leaves together with or after the answer of this journal id, never before; 0: at any time
  after_answer INTEGER NOT NULL DEFAULT 0,
  line TEXT NOT NULL
) STRICT;

-- Each row's hash covers the hash before it: a changed, missing or added row shows (audit/audit-log.ts).
CREATE TABLE audit (
  id INTEGER PRIMARY KEY,
  at_ms INTEGER NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  subject TEXT,
  detail TEXT NOT NULL,
  hash TEXT NOT NULL
) STRICT;

CREATE TABLE presence (
  device TEXT PRIMARY KEY,
  state TEXT NOT NULL,
  since_ms INTEGER NOT NULL,
  first_seen_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Formed segments: kept until their receipt, and a while longer in case the centre must go back to a backup.
CREATE TABLE segment (
  n INTEGER PRIMARY KEY,
  lane TEXT NOT NULL,
  file BLOB NOT NULL,
  sha256 TEXT NOT NULL,
  items INTEGER NOT NULL,
  formed_ms INTEGER NOT NULL,
  -- journal positions after this segment
  answers_formed INTEGER NOT NULL,
  history_formed INTEGER NOT NULL,
  -- [[device, epoch, [[from, to], …]], …]: moved into forwarded at the receipt
  seqs TEXT NOT NULL,
  receipt TEXT
) STRICT;

-- The loss ledger's other half: which seqs of an epoch the centre has given a receipt for.
CREATE TABLE forwarded (
  device TEXT NOT NULL,
  epoch TEXT NOT NULL,
  ranges TEXT NOT NULL,
  PRIMARY KEY (device, epoch)
) STRICT, WITHOUT ROWID;

-- What the centre was last told of an epoch, so that only changes go up.
CREATE TABLE ledger_told (
  device TEXT NOT NULL,
  epoch TEXT NOT NULL,
  line_hash TEXT NOT NULL,
  PRIMARY KEY (device, epoch)
) STRICT, WITHOUT ROWID;
